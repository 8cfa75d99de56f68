// What dense layers and the activations behind them do besides multiplying matrices.

// max(x, 0), NaN where x is.
__device__ __forceinline__ A relu(A x) {
    return x <= A(0) ? A(0) : x;
}

extern "C" __global__ void add_biases(
    Int n, Int k, int with_relu, int packed, const T *products, const T *biases, T *output
) {
    const Int size = n * k;
    if (packed) {  // all arrays, and every row, start at multiples of 16 bytes
        const Int columns = k / PACK;
        for (Int p = first_index(); p < size / PACK; p += stride()) {
            Pack part = ((const Pack *)products)[p];
            const Pack bias = ((const Pack *)biases)[p % columns];
#pragma unroll
            for (int j = 0; j < PACK; ++j) {
                const A x = A(part.at[j]) + A(bias.at[j]);
                part.at[j] = T(with_relu ? relu(x) : x);
            }
            ((Pack *)output)[p] = part;
        }
        return;
    }
    for (Int i = first_index(); i < size; i += stride()) {
        const A x = A(products[i]) + A(biases[i % k]);
        output[i] = T(with_relu ? relu(x) : x);
    }
}

extern "C" __global__ void relu_backward(
    Int size, Int packs, T *dvalues, T *output, T *dinputs
) {
    T *const arrays[3] = {dvalues, output, dinputs};
    sweep<3, 4u>(size, packs, arrays, [](A(&x)[3], Int) { x[2] = x[1] > A(0) ? x[0] : A(0); });
}

constexpr int SEVERAL = sizeof(T) < 8 ? 8 / sizeof(T) : 1;

// Goes through the columns of arrays, N next to each other for a thread: dinputs = dvalues where
// output > 0, else 0, if there is an output, and the sums of dinputs, else of dvalues. Each block
// has 32 N columns and the rows from blockIdx.y * rows on; its sums go to one row of `sums`, which
// has gridDim.y of them.
template <int N>
__device__ __forceinline__ void sum_columns(
    Int n, Int k, Int rows, const T *dvalues, const T *output, T *dinputs, A *sums
) {
    struct alignas(N * sizeof(T)) Part {
        T at[N];
    };
    const Int column = N * ((Int)blockIdx.x * 32 + threadIdx.x);
    const Int begin = (Int)blockIdx.y * rows;
    const Int end = begin + rows < n ? begin + rows : n;
    A sum[N] = {};
    if (column < k)
        for (Int row = begin + threadIdx.y; row < end; row += blockDim.y) {
            const Int i = row * k + column;
            Part part = *(const Part *)(dvalues + i);
            if (output) {
                const Part active = *(const Part *)(output + i);
#pragma unroll
                for (int j = 0; j < N; ++j)
                    if (!(A(active.at[j]) > A(0))) part.at[j] = T(A(0));
                *(Part *)(dinputs + i) = part;
            }
#pragma unroll
            for (int j = 0; j < N; ++j) sum[j] += A(part.at[j]);
        }
#pragma unroll
    for (int j = 0; j < N; ++j) {
        const A total = over_column(sum[j]);
        if (threadIdx.y == 0 && column < k) sums[(Int)blockIdx.y * k + column + j] = total;
    }
}

extern "C" __global__ void __launch_bounds__(1024) relu_backward_biases(
    Int n, Int k, Int rows, const T *dvalues, const T *output, T *dinputs, A *sums
) {
    sum_columns<1>(n, k, rows, dvalues, output, dinputs, sums);
}

extern "C" __global__ void __launch_bounds__(1024) relu_backward_biases_wide(
    Int n, Int k, Int rows, const T *dvalues, const T *output, T *dinputs, A *sums
) {
    sum_columns<SEVERAL>(n, k, rows, dvalues, output, dinputs, sums);
}

extern "C" __global__ void __launch_bounds__(1024) column_sums(
    Int n, Int k, Int rows, const T *values, A *sums
) {
    sum_columns<1>(n, k, rows, values, nullptr, nullptr, sums);
}

extern "C" __global__ void __launch_bounds__(1024) column_sums_wide(
    Int n, Int k, Int rows, const T *values, A *sums
) {
    sum_columns<SEVERAL>(n, k, rows, values, nullptr, nullptr, sums);
}

// Adds up the sums of columns that the blocks of the kernels above leave behind, in parts.
extern "C" __global__ void __launch_bounds__(1024) add_parts(
    Int parts, Int k, const A *sums, T *total
) {
    const Int column = (Int)blockIdx.x * 32 + threadIdx.x;
    A sum = 0;
    if (column < k)
        for (Int part = threadIdx.y; part < parts; part += blockDim.y) sum += sums[part * k + column];
    sum = over_column(sum);
    if (threadIdx.y == 0 && column < k) total[column] = T(sum);
}
