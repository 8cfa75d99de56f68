// Pooling: a thread for each window, or for each pixel, and for one channel or 16 bytes of them.

// The numbers of the taps that see the largest values of N channels.
template <int N>
struct alignas(N) Taps {
    unsigned char at[N];
};

template <int N>
__device__ __forceinline__ void find_largest(
    Word count, const Window &w, const T *__restrict__ inputs, T *__restrict__ output,
    unsigned char *__restrict__ which
) {
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.down, w.across, w.channels);
        A largest[N];
        Taps<N> taps;
#pragma unroll
        for (int j = 0; j < N; ++j) {
            largest[j] = -A(INFINITY);
            taps.at[j] = 0;
        }
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.row(at.row, a);
            if (row < 0) continue;
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.column(at.column, b);
                if (column < 0) continue;
                const Int pixel = w.pixel(at.picture, row, column);
                const Part<N> part = load<N>(inputs + pixel * w.pitch + at.channel);
#pragma unroll
                for (int j = 0; j < N; ++j) {
                    const A x = A(part.at[j]);
                    if (x <= largest[j] || (largest[j] != largest[j] && x == x)) continue;
                    largest[j] = x;
                    taps.at[j] = a * w.taps_across + b;
                }
            }
        }
        const Int place = w.window(at.picture, at.row, at.column) * w.channels + at.channel;
        store(output + place, largest);
        *(Taps<N> *)(which + place) = taps;
    }
}

extern "C" __global__ void max_pool(
    Word count, int packed, WINDOW_ARGUMENTS, const T *inputs, T *output, unsigned char *which
) {
    const Window w = WINDOW;
    if (packed)
        find_largest<PACK>(count, w, inputs, output, which);
    else
        find_largest<1>(count, w, inputs, output, which);
}

template <int N>
__device__ __forceinline__ void give_to_largest(
    Word count, const Window &w, const T *__restrict__ dvalues,
    const unsigned char *__restrict__ which, T *__restrict__ dinputs
) {
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.height, w.width, w.channels);
        A sums[N] = {};
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.window_down(at.row, a);
            if (row < 0) continue;
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.window_across(at.column, b);
                if (column < 0) continue;
                const Int window = w.window(at.picture, row, column);
                const Int place = window * w.channels + at.channel;
                const Part<N> part = load<N>(dvalues + place);
                const Taps<N> taps = *(const Taps<N> *)(which + place);
#pragma unroll
                for (int j = 0; j < N; ++j)
                    if (taps.at[j] == a * w.taps_across + b) sums[j] += A(part.at[j]);
            }
        }
        store(dinputs + w.pixel(at.picture, at.row, at.column) * w.pitch + at.channel, sums);
    }
}

extern "C" __global__ void max_pool_backward(
    Word count, int packed, WINDOW_ARGUMENTS, const T *dvalues, const unsigned char *which,
    T *dinputs
) {
    const Window w = WINDOW;
    if (packed)
        give_to_largest<PACK>(count, w, dvalues, which, dinputs);
    else
        give_to_largest<1>(count, w, dvalues, which, dinputs);
}

// What one number counts in the mean of a window, of all its taps or of those in the picture.
__device__ __forceinline__ A share_of(const Window &w, int whole, int row, int column) {
    const int seen = w.rows_seen(row) * w.columns_seen(column);
    return A(1) / A(whole ? w.taps_down * w.taps_across : max(seen, 1));
}

template <int N>
__device__ __forceinline__ void take_means(
    Word count, const Window &w, int whole, const T *__restrict__ inputs, T *__restrict__ output
) {
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.down, w.across, w.channels);
        A sums[N] = {};
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.row(at.row, a);
            if (row < 0) continue;
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.column(at.column, b);
                if (column < 0) continue;
                const Int pixel = w.pixel(at.picture, row, column);
                const Part<N> part = load<N>(inputs + pixel * w.pitch + at.channel);
#pragma unroll
                for (int j = 0; j < N; ++j) sums[j] += A(part.at[j]);
            }
        }
        const A share = share_of(w, whole, at.row, at.column);
#pragma unroll
        for (int j = 0; j < N; ++j) sums[j] *= share;
        store(output + w.window(at.picture, at.row, at.column) * w.channels + at.channel, sums);
    }
}

extern "C" __global__ void average_pool(
    Word count, int packed, WINDOW_ARGUMENTS, int whole, const T *inputs, T *output
) {
    const Window w = WINDOW;
    if (packed)
        take_means<PACK>(count, w, whole, inputs, output);
    else
        take_means<1>(count, w, whole, inputs, output);
}

template <int N>
__device__ __forceinline__ void give_shares(
    Word count, const Window &w, int whole, const T *__restrict__ dvalues, T *__restrict__ dinputs
) {
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.height, w.width, w.channels);
        A sums[N] = {};
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.window_down(at.row, a);
            if (row < 0) continue;
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.window_across(at.column, b);
                if (column < 0) continue;
                const Int window = w.window(at.picture, row, column);
                const Part<N> part = load<N>(dvalues + window * w.channels + at.channel);
                const A share = share_of(w, whole, row, column);
#pragma unroll
                for (int j = 0; j < N; ++j) sums[j] += A(part.at[j]) * share;
            }
        }
        store(dinputs + w.pixel(at.picture, at.row, at.column) * w.pitch + at.channel, sums);
    }
}

extern "C" __global__ void average_pool_backward(
    Word count, int packed, WINDOW_ARGUMENTS, int whole, const T *dvalues, T *dinputs
) {
    const Window w = WINDOW;
    if (packed)
        give_shares<PACK>(count, w, whole, dvalues, dinputs);
    else
        give_shares<1>(count, w, whole, dvalues, dinputs);
}
