// What all kernels share. TYPE is the type of the arrays' elements, WIDE that of the arithmetic
// on them: float for float, __half and __nv_bfloat16, double for double.
#ifdef NEEDS_HALF
#include <cuda_fp16.h>
#endif
#ifdef NEEDS_BFLOAT16
#include <cuda_bf16.h>
#endif

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif

typedef TYPE T;
typedef WIDE A;
typedef long long Int;
typedef unsigned int Word;
typedef unsigned long long Address;  // of a number on the device, or 0: then the value beside it counts

constexpr int PACK = 16 / sizeof(T);

// What one thread loads or stores at once: 16 bytes.
struct alignas(16) Pack {
    T at[PACK];
};

// N elements next to each other, which a thread loads or stores at once.
template <int N>
struct alignas(N * sizeof(T)) Part {
    T at[N];
};

template <int N>
__device__ __forceinline__ Part<N> load(const T *from) {
    return *(const Part<N> *)from;
}

template <int N>
__device__ __forceinline__ void store(T *to, const A (&values)[N]) {
    Part<N> part;
#pragma unroll
    for (int j = 0; j < N; ++j) part.at[j] = T(values[j]);
    *(Part<N> *)to = part;
}

template <class N>
__device__ __forceinline__ N number(Address at, N value) {
    return at ? *(const N *)at : value;
}

__device__ __forceinline__ Int first_index() {
    return (Int)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ Int stride() {
    return (Int)gridDim.x * blockDim.x;
}

// Goes through N arrays of one size, element by element: body(x) reads and changes the elements at
// one place, those of the arrays in WRITTEN, a bit for each, are stored. The first `packs` packs are
// loaded whole, which needs arrays that start at multiples of 16 bytes; the rest one by one.
template <int N, Word WRITTEN, class Body>
__device__ __forceinline__ void sweep(Int size, Int packs, T *const (&arrays)[N], Body body) {
    for (Int p = first_index(); p < packs; p += stride()) {
        Pack parts[N];
#pragma unroll
        for (int a = 0; a < N; ++a) parts[a] = ((const Pack *)arrays[a])[p];
#pragma unroll
        for (int j = 0; j < PACK; ++j) {
            A x[N];
#pragma unroll
            for (int a = 0; a < N; ++a) x[a] = A(parts[a].at[j]);
            body(x, p * PACK + j);
#pragma unroll
            for (int a = 0; a < N; ++a)
                if (WRITTEN >> a & 1) parts[a].at[j] = T(x[a]);
        }
#pragma unroll
        for (int a = 0; a < N; ++a)
            if (WRITTEN >> a & 1) ((Pack *)arrays[a])[p] = parts[a];
    }
    for (Int i = packs * PACK + first_index(); i < size; i += stride()) {
        A x[N];
#pragma unroll
        for (int a = 0; a < N; ++a) x[a] = A(arrays[a][i]);
        body(x, i);
#pragma unroll
        for (int a = 0; a < N; ++a)
            if (WRITTEN >> a & 1) arrays[a][i] = T(x[a]);
    }
}

struct Sum {
    __device__ __forceinline__ A operator()(A a, A b) const { return a + b; }
};

struct Largest {
    __device__ __forceinline__ A operator()(A a, A b) const { return a > b ? a : b; }
};

// A row is the business of the blockDim.x threads of one threadIdx.y: one warp, or, where
// blockDim.y is 1, several. All of them get the result.
template <class Operation>
__device__ __forceinline__ A over_row(A value, Operation operation) {
#pragma unroll
    for (int d = 16; d; d /= 2) value = operation(value, __shfl_xor_sync(0xffffffffu, value, d));
    if (blockDim.x > 32) {
        __shared__ A parts[32];
        __syncthreads();
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
        __syncthreads();
        value = parts[0];
        for (int w = 1; w < blockDim.x / 32; ++w) value = operation(value, parts[w]);
    }
    return value;
}

// A block of 32 x blockDim.y threads, blockDim.y a power of two, has 32 columns: the sum of the
// values of each column's threads, for all of them.
__device__ __forceinline__ A over_column(A value) {
    __shared__ A parts[32][33];
    const int x = threadIdx.x, y = threadIdx.y;
    __syncthreads();
    parts[y][x] = value;
    __syncthreads();
    for (int h = blockDim.y / 2; h; h /= 2) {
        if (y < h) parts[y][x] += parts[y + h][x];
        __syncthreads();
    }
    return parts[0][x];
}
