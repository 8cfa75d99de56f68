// What convolutions do besides multiplying matrices: a thread for each window, or for each pixel,
// and for one channel or 16 bytes of them. Each gathers what it needs, so nothing is added up by
// atomic additions.

template <int N>
__device__ __forceinline__ void gather_patches(
    Word count, const Window &w, const T *__restrict__ inputs, T *__restrict__ patches
) {
    const Int length = (Int)w.taps_down * w.taps_across * w.channels;
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.down, w.across, w.channels);
        T *patch = patches + w.window(at.picture, at.row, at.column) * length + at.channel;
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.row(at.row, a);
#pragma unroll 3
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.column(at.column, b);
                Part<N> part;
#pragma unroll
                for (int j = 0; j < N; ++j) part.at[j] = T(A(0));
                if (row >= 0 && column >= 0)
                    part = load<N>(inputs + w.pixel(at.picture, row, column) * w.pitch + at.channel);
                *(Part<N> *)patch = part;
                patch += w.channels;
            }
        }
    }
}

extern "C" __global__ void patches(
    Word count, int packed, WINDOW_ARGUMENTS, const T *inputs, T *patches
) {
    const Window w = WINDOW;
    if (packed)
        gather_patches<PACK>(count, w, inputs, patches);
    else
        gather_patches<1>(count, w, inputs, patches);
}

template <int N>
__device__ __forceinline__ void sum_patches(
    Word count, const Window &w, const T *__restrict__ dpatches, T *__restrict__ dinputs
) {
    const Int taps = (Int)w.taps_down * w.taps_across;
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.height, w.width, w.channels);
        A sums[N] = {};
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.window_down(at.row, a);
            if (row < 0) continue;
#pragma unroll 3
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.window_across(at.column, b);
                if (column < 0) continue;
                const Int tap = w.window(at.picture, row, column) * taps + a * w.taps_across + b;
                const Part<N> part = load<N>(dpatches + tap * w.channels + at.channel);
#pragma unroll
                for (int j = 0; j < N; ++j) sums[j] += A(part.at[j]);
            }
        }
        store(dinputs + w.pixel(at.picture, at.row, at.column) * w.pitch + at.channel, sums);
    }
}

extern "C" __global__ void add_patches(
    Word count, int packed, WINDOW_ARGUMENTS, const T *dpatches, T *dinputs
) {
    const Window w = WINDOW;
    if (packed)
        sum_patches<PACK>(count, w, dpatches, dinputs);
    else
        sum_patches<1>(count, w, dpatches, dinputs);
}

// Of depthwise convolutions, each channel has `each` filters. Packs need one.
template <int N>
__device__ __forceinline__ void filter_channels(
    Word count, const Window &w, int each, const T *__restrict__ inputs,
    const T *__restrict__ weights, T *__restrict__ output
) {
    const int filters = w.channels * each;
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.down, w.across, filters);
        const int channel = at.channel / each;
        A sums[N] = {};
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.row(at.row, a);
            if (row < 0) continue;
#pragma unroll 3
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.column(at.column, b);
                if (column < 0) continue;
                const T *seen = inputs + w.pixel(at.picture, row, column) * w.pitch + channel;
                const T *factor = weights + (Int)(a * w.taps_across + b) * filters + at.channel;
                const Part<N> part = load<N>(seen), factors = load<N>(factor);
#pragma unroll
                for (int j = 0; j < N; ++j) sums[j] += A(part.at[j]) * A(factors.at[j]);
            }
        }
        store(output + w.window(at.picture, at.row, at.column) * filters + at.channel, sums);
    }
}

extern "C" __global__ void depthwise(
    Word count, int packed, WINDOW_ARGUMENTS, int each, const T *inputs, const T *weights, T *output
) {
    const Window w = WINDOW;
    if (packed)
        filter_channels<PACK>(count, w, 1, inputs, weights, output);
    else
        filter_channels<1>(count, w, each, inputs, weights, output);
}

template <int N>
__device__ __forceinline__ void sum_filtered(
    Word count, const Window &w, int each, const T *__restrict__ dvalues,
    const T *__restrict__ weights, T *__restrict__ dinputs
) {
    const Int filters = (Int)w.channels * each;
    for (Word i = first_index(); i < count; i += stride()) {
        const Place at = place_of<N>(i, w.height, w.width, w.channels);
        const Int filter = (Int)at.channel * each;
        A sums[N] = {};
        for (int a = 0; a < w.taps_down; ++a) {
            const int row = w.window_down(at.row, a);
            if (row < 0) continue;
            for (int b = 0; b < w.taps_across; ++b) {
                const int column = w.window_across(at.column, b);
                if (column < 0) continue;
                const T *seen = dvalues + w.window(at.picture, row, column) * filters + filter;
                const T *factor = weights + (Int)(a * w.taps_across + b) * filters + filter;
                for (int f = 0; f < each; ++f) {
                    const Part<N> part = load<N>(seen + f), factors = load<N>(factor + f);
#pragma unroll
                    for (int j = 0; j < N; ++j) sums[j] += A(part.at[j]) * A(factors.at[j]);
                }
            }
        }
        store(dinputs + w.pixel(at.picture, at.row, at.column) * w.pitch + at.channel, sums);
    }
}

extern "C" __global__ void depthwise_backward(
    Word count, int packed, WINDOW_ARGUMENTS, int each, const T *dvalues, const T *weights,
    T *dinputs
) {
    const Window w = WINDOW;
    if (packed)
        sum_filtered<PACK>(count, w, 1, dvalues, weights, dinputs);
    else
        sum_filtered<1>(count, w, each, dvalues, weights, dinputs);
}

// A block for 32 filters, a part of the windows, and a tap; its sums go to one row of `sums`.
extern "C" __global__ void __launch_bounds__(1024) depthwise_gradient(
    Word windows, Word part, WINDOW_ARGUMENTS, int each, const T *inputs, const T *dvalues, A *sums
) {
    const Window w = WINDOW;
    const int filters = w.channels * each;
    const int filter = blockIdx.x * 32 + threadIdx.x, tap = blockIdx.z;
    const int a = tap / w.taps_across, b = tap - a * w.taps_across;
    const Word begin = blockIdx.y * part, end = min(begin + part, windows);
    A sum = 0;
    if (filter < filters)
        for (Word i = begin + threadIdx.y; i < end; i += blockDim.y) {
            const Place at = place_of<1>(i, w.down, w.across, 1);
            const int row = w.row(at.row, a), column = w.column(at.column, b);
            if (row < 0 || column < 0) continue;
            const T *seen = inputs + w.pixel(at.picture, row, column) * w.pitch + filter / each;
            sum += A(dvalues[(Int)i * filters + filter]) * A(*seen);
        }
    sum = over_column(sum);
    const Int place = (Int)blockIdx.y * gridDim.z + tap;
    if (threadIdx.y == 0 && filter < filters) sums[place * filters + filter] = sum;
}
