// The gradient of a table from which rows were looked up: the rows of the gradient are sorted by
// their codes, and those of each code summed by one block, in one order. So no atomic addition
// decides about the last bits, and no sort of a library has to be recorded.

// A code, and in the lower half the place where it stood: no two are the same.
typedef unsigned long long Key;

constexpr int LONGEST = 2048, LANES = 128;

__device__ __forceinline__ Word code_of(Key key) {
    return (Word)(key >> 32);
}

extern "C" __global__ void clear(Int size, T *values) {
    for (Int i = first_index(); i < size; i += stride()) values[i] = T(A(0));
}

// Sorts each tile of `tile` keys, a power of two, with half as many threads (Batcher 1968, *Sorting
// networks and their applications*: the bitonic sorter).
extern "C" __global__ void __launch_bounds__(1024) sort_tiles(
    Int n, int tile, const Int *codes, Key *keys
) {
    __shared__ Key part[LONGEST];
    const Int start = (Int)blockIdx.x * tile;
    for (int i = threadIdx.x; i < tile; i += blockDim.x)
        part[i] = start + i < n ? ((Key)codes[start + i] << 32) | (Key)(start + i) : ~(Key)0;
    for (int size = 2; size <= tile; size *= 2)
        for (int distance = size / 2; distance; distance /= 2) {
            __syncthreads();
            const int lower = 2 * threadIdx.x - (threadIdx.x & (distance - 1));
            const Key a = part[lower], b = part[lower + distance];
            const bool ascending = !(lower & size);
            if ((a > b) == ascending) {
                part[lower] = b;
                part[lower + distance] = a;
            }
        }
    __syncthreads();
    for (int i = threadIdx.x; i < tile && start + i < n; i += blockDim.x) keys[start + i] = part[i];
}

// The first place from `begin` to `end` whose key is not below the given one, or `end`.
__device__ __forceinline__ Int place_of(const Key *keys, Int begin, Int end, Key key) {
    while (begin < end) {
        const Int middle = begin + (end - begin) / 2;
        if (keys[middle] < key)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

// Merges each two sorted runs of `run` keys: a key goes behind all smaller ones of its own run, and
// of the other.
extern "C" __global__ void merge_runs(Int n, Int run, const Key *from, Key *to) {
    for (Int i = first_index(); i < n; i += stride()) {
        const Int own = i / run * run, pair = own / (2 * run) * (2 * run);
        const Int other = own == pair ? own + run : pair;
        const Int begin = other < n ? other : n, end = other + run < n ? other + run : n;
        const Key key = from[i];
        to[pair + (i - own) + (place_of(from, begin, end, key) - begin)] = key;
    }
}

// One block for each place among the sorted keys: the first one of a code writes the code's row.
// Threads of one threadIdx.x have a column in common; each sums up a share of the rows, and then
// all add their sums in pairs.
extern "C" __global__ void __launch_bounds__(128) sum_rows(
    Int n, Int k, const Key *keys, const T *dvalues, T *dweights
) {
    __shared__ A parts[LANES];
    const Int place = blockIdx.x;
    const Word code = code_of(keys[place]);
    if (place && code_of(keys[place - 1]) == code) return;
    const Int end = place_of(keys, place, n, ((Key)code + 1) << 32);
    const int x = threadIdx.x, y = threadIdx.y, width = blockDim.x;
    for (Int first = 0; first < k; first += width) {
        const Int column = first + x;
        A sum = 0;
        if (column < k)
            for (Int i = place + y; i < end; i += blockDim.y)
                sum += A(dvalues[(Int)(Word)keys[i] * k + column]);
        if (end - place > 1) {
            __syncthreads();
            parts[y * width + x] = sum;
            __syncthreads();
            for (int h = blockDim.y / 2; h; h /= 2) {
                if (y < h) parts[y * width + x] += parts[(y + h) * width + x];
                __syncthreads();
            }
            sum = parts[x];
        }
        if (y == 0 && column < k) dweights[(Int)code * k + column] = T(sum);
    }
}
