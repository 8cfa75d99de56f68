// Products x.T @ y of two tall matrices: few numbers, each the sum of very many rows.

constexpr int WORKERS = 256, SIDE = 4;        // threads of a block; each has SIDE * SIDE numbers
constexpr int ROOM = 32768 / sizeof(A);       // for rows, or for the numbers of all threads
constexpr int EVEN = 8;                       // packs of all types fill so many rows
static_assert(WORKERS * SIDE * SIDE <= ROOM && EVEN % PACK == 0, "what follows relies on it");

struct alignas(16) Wide {
    A at[16 / sizeof(A)];
};

// Rows of a matrix go to shared memory, one right behind the other: in packs where they lie so.
__device__ __forceinline__ void fetch(
    const T *__restrict__ from, Int pitch, int flat, int rows, int columns, A *to
) {
    const int size = rows * columns, packs = flat ? size / PACK : 0;
    for (int p = threadIdx.x; p < packs; p += WORKERS) {
        const Pack pack = ((const Pack *)from)[p];
        constexpr int N = sizeof(Wide) / sizeof(A);
#pragma unroll
        for (int k = 0; k < PACK; k += N) {
            Wide wide;
#pragma unroll
            for (int j = 0; j < N; ++j) wide.at[j] = A(pack.at[k + j]);
            *(Wide *)(to + p * PACK + k) = wide;
        }
    }
    for (int i = packs * PACK + threadIdx.x; i < size; i += WORKERS) {
        const int row = (Word)i / (Word)columns;
        to[i] = A(from[row * pitch + (i - row * columns)]);
    }
}

// A block for the rows from blockIdx.x * part on; its sums go to one row of `sums`. The threads
// fall into groups, each of which has all m * n numbers and every so many-th row. The numbers of a
// thread lie `down` rows and `across` columns apart, so that threads beside each other read
// neighbours. Some lie outside, where the sums are of whatever is there, and are dropped.
extern "C" __global__ void __launch_bounds__(256) tall_product(
    Int rows, Int part, int m, int n, Int x_pitch, Int y_pitch, int x_flat, int y_flat, const T *x,
    const T *y, A *sums
) {
    __shared__ __align__(16) A room[ROOM + SIDE];
    const int down = (m + SIDE - 1) / SIDE, across = (n + SIDE - 1) / SIDE;
    const int threads = down * across, groups = WORKERS / threads;
    const int group = threadIdx.x / threads, thread = threadIdx.x - group * threads;
    const int top = thread / across, left = thread - top * across;
    const int most = ROOM / (m + n) / EVEN * EVEN;
    const Int begin = blockIdx.x * part, end = begin + part < rows ? begin + part : rows;
    A *const xs = room, *const ys = room + most * m;
    A sum[SIDE][SIDE] = {};
    for (Int first = begin; first < end; first += most) {
        const int count = end - first < most ? (int)(end - first) : most;
        fetch(x + first * x_pitch, x_pitch, x_flat, count, m, xs);
        fetch(y + first * y_pitch, y_pitch, y_flat, count, n, ys);
        __syncthreads();
        if (group < groups)
            for (int row = group; row < count; row += groups) {
                const A *const a = xs + row * m + top, *const b = ys + row * n + left;
                A factors[SIDE];
#pragma unroll
                for (int j = 0; j < SIDE; ++j) factors[j] = b[j * across];
#pragma unroll
                for (int i = 0; i < SIDE; ++i) {
                    const A factor = a[i * down];
#pragma unroll
                    for (int j = 0; j < SIDE; ++j) sum[i][j] += factor * factors[j];
                }
            }
        __syncthreads();
    }
    const int numbers = SIDE * SIDE * threads;
    if (group < groups)
#pragma unroll
        for (int i = 0; i < SIDE; ++i)
#pragma unroll
            for (int j = 0; j < SIDE; ++j)
                room[group * numbers + (i * SIDE + j) * threads + thread] = sum[i][j];
    __syncthreads();
    for (int k = threadIdx.x; k < numbers; k += WORKERS) {
        const int place = k / threads, of = k - place * threads;
        const int i = of / across + place / SIDE * down;
        const int j = of % across + place % SIDE * across;
        if (i >= m || j >= n) continue;
        A total = room[k];
        for (int g = 1; g < groups; ++g) total += room[g * numbers + k];
        sums[((Int)blockIdx.x * m + i) * n + j] = total;
    }
}
