// Normalizations: over the batch, a block for 32 columns, or, of many rows, blocks that walk; over
// the features, a row for one or more warps.
//
// Blocks that walk have WALKERS threads, and a part of the rows and of the columns each: a thread
// goes down N columns next to each other, every blockDim.y-th row of the part from its threadIdx.y
// on. What the parts find is put together by a kernel behind them, in one order.

extern "C" __global__ void __launch_bounds__(1024) batch_norm(
    Int n, Int k, A epsilon, const T *inputs, const T *gamma, const T *beta, T *output,
    T *normalized, A *inverse, A *mean, A *variance
) {
    const Int column = (Int)blockIdx.x * 32 + threadIdx.x;
    const bool there = column < k;
    A sum = 0;
    if (there)
        for (Int row = threadIdx.y; row < n; row += blockDim.y) sum += A(inputs[row * k + column]);
    const A m = over_column(sum) / A(n);
    A squares = 0;
    if (there)
        for (Int row = threadIdx.y; row < n; row += blockDim.y) {
            const A d = A(inputs[row * k + column]) - m;
            squares += d * d;
        }
    const A v = over_column(squares) / A(n);
    if (!there) return;
    const A share = A(1) / sqrt(v + epsilon), g = A(gamma[column]), b = A(beta[column]);
    if (threadIdx.y == 0) {
        mean[column] = m;
        variance[column] = v;
        inverse[column] = share;
    }
    for (Int row = threadIdx.y; row < n; row += blockDim.y) {
        const Int i = row * k + column;
        const A z = (A(inputs[i]) - m) * share;
        normalized[i] = T(z);
        output[i] = T(g * z + b);
    }
}

extern "C" __global__ void __launch_bounds__(1024) batch_norm_backward(
    Int n, Int k, const T *dvalues, const T *normalized, const A *scale, T *dgamma, T *dbeta,
    T *dinputs
) {
    const Int column = (Int)blockIdx.x * 32 + threadIdx.x;
    const bool there = column < k;
    A products = 0, sums = 0;
    if (there)
        for (Int row = threadIdx.y; row < n; row += blockDim.y) {
            const Int i = row * k + column;
            const A d = A(dvalues[i]);
            products += d * A(normalized[i]);
            sums += d;
        }
    products = over_column(products);
    sums = over_column(sums);
    if (!there) return;
    if (threadIdx.y == 0) {
        dgamma[column] = T(products);
        dbeta[column] = T(sums);
    }
    const A of_gamma = products / A(n), of_beta = sums / A(n), s = scale[column];
    for (Int row = threadIdx.y; row < n; row += blockDim.y) {
        const Int i = row * k + column;
        dinputs[i] = T((A(dvalues[i]) - of_beta - A(normalized[i]) * of_gamma) * s);
    }
}

extern "C" __global__ void layer_norm(
    Int n, Int k, A epsilon, const T *inputs, const T *gamma, const T *beta, T *output,
    T *normalized, T *inverse
) {
    const Int row = (Int)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;
    inputs += row * k;
    output += row * k;
    normalized += row * k;
    A sum = 0;
    for (Int j = threadIdx.x; j < k; j += blockDim.x) sum += A(inputs[j]);
    const A m = over_row(sum, Sum()) / A(k);
    A squares = 0;
    for (Int j = threadIdx.x; j < k; j += blockDim.x) {
        const A d = A(inputs[j]) - m;
        squares += d * d;
    }
    const A share = A(1) / sqrt(over_row(squares, Sum()) / A(k) + epsilon);
    for (Int j = threadIdx.x; j < k; j += blockDim.x) {
        const A z = (A(inputs[j]) - m) * share;
        normalized[j] = T(z);
        output[j] = T(A(gamma[j]) * z + A(beta[j]));
    }
    if (threadIdx.x == 0) inverse[row] = T(share);
}

extern "C" __global__ void layer_norm_backward(
    Int n, Int k, const T *dvalues, const T *normalized, const T *inverse, const T *gamma,
    T *dinputs
) {
    const Int row = (Int)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;
    dvalues += row * k;
    normalized += row * k;
    dinputs += row * k;
    A sum = 0, product = 0;
    for (Int j = threadIdx.x; j < k; j += blockDim.x) {
        const A g = A(gamma[j]) * A(dvalues[j]);
        sum += g;
        product += g * A(normalized[j]);
    }
    sum = over_row(sum, Sum()) / A(k);
    product = over_row(product, Sum()) / A(k);
    const A share = A(inverse[row]);
    for (Int j = threadIdx.x; j < k; j += blockDim.x) {
        const A g = A(gamma[j]) * A(dvalues[j]);
        dinputs[j] = T((g - sum - A(normalized[j]) * product) * share);
    }
}

constexpr int WALKERS = 256;

template <int N>
__device__ __forceinline__ Int walked_column() {
    return N * ((Int)blockIdx.x * blockDim.x + threadIdx.x);
}

// For each column of walking threads, which are a power of two, the sum of their values.
template <int N>
__device__ __forceinline__ void over_walkers(A (&values)[N]) {
    __shared__ A parts[N][WALKERS];
    const int x = threadIdx.x, here = threadIdx.y * blockDim.x + x;
    __syncthreads();
#pragma unroll
    for (int j = 0; j < N; ++j) parts[j][here] = values[j];
    __syncthreads();
    for (int h = blockDim.y / 2; h; h /= 2) {
        if (threadIdx.y < h)
#pragma unroll
            for (int j = 0; j < N; ++j) parts[j][here] += parts[j][here + h * blockDim.x];
        __syncthreads();
    }
#pragma unroll
    for (int j = 0; j < N; ++j) values[j] = parts[j][x];
}

// The mean of each column of a part, and the sum of the squares of what is apart from it. Each
// thread sums up what is apart from its first row, so that little is lost where a mean is large.
template <int N>
__device__ __forceinline__ void part_moments(
    Int n, Int k, Int rows, const T *inputs, A *means, A *squares
) {
    const Int column = walked_column<N>(), begin = (Int)blockIdx.y * rows;
    const Int end = begin + rows < n ? begin + rows : n;
    A first[N] = {}, sum[N] = {}, square[N] = {}, total[N];
    int count = 0;
    if (column < k)
        for (Int row = begin + threadIdx.y; row < end; row += blockDim.y) {
            const Part<N> part = load<N>(inputs + row * k + column);
#pragma unroll
            for (int j = 0; j < N; ++j) {
                const A x = A(part.at[j]);
                if (!count) first[j] = x;
                const A d = x - first[j];
                sum[j] += d;
                square[j] += d * d;
            }
            ++count;
        }
#pragma unroll
    for (int j = 0; j < N; ++j) {
        const A apart = count ? sum[j] / A(count) : A(0);
        square[j] -= sum[j] * apart;
        if (square[j] < A(0)) square[j] = A(0);
        first[j] += apart;  // the mean of the thread's rows
        total[j] = first[j] * A(count);
    }
    over_walkers(total);
#pragma unroll
    for (int j = 0; j < N; ++j) {
        total[j] /= A(end - begin);
        const A d = first[j] - total[j];
        if (count) square[j] += A(count) * d * d;
    }
    over_walkers(square);
    if (threadIdx.y || column >= k) return;
#pragma unroll
    for (int j = 0; j < N; ++j) {
        means[blockIdx.y * k + column + j] = total[j];
        squares[blockIdx.y * k + column + j] = square[j];
    }
}

extern "C" __global__ void __launch_bounds__(256) moments(
    Int n, Int k, Int rows, int packed, const T *inputs, A *means, A *squares
) {
    if (packed)
        part_moments<PACK>(n, k, rows, inputs, means, squares);
    else
        part_moments<1>(n, k, rows, inputs, means, squares);
}

// Puts the moments of the parts together.
extern "C" __global__ void __launch_bounds__(1024) add_moments(
    Int n, Int k, Int rows, Int parts, A epsilon, const A *means, const A *squares, A *inverse,
    A *mean, A *variance
) {
    const Int column = (Int)blockIdx.x * 32 + threadIdx.x;
    const bool there = column < k;
    A sum = 0, square = 0;
    if (there)
        for (Int part = threadIdx.y; part < parts; part += blockDim.y) {
            const Int size = part < parts - 1 ? rows : n - part * rows;
            sum += means[part * k + column] * A(size);
        }
    const A m = over_column(sum) / A(n);
    if (there)
        for (Int part = threadIdx.y; part < parts; part += blockDim.y) {
            const Int size = part < parts - 1 ? rows : n - part * rows;
            const A d = means[part * k + column] - m;
            square += squares[part * k + column] + A(size) * d * d;
        }
    const A v = over_column(square) / A(n);
    if (!there || threadIdx.y) return;
    mean[column] = m;
    variance[column] = v;
    inverse[column] = A(1) / sqrt(v + epsilon);
}

template <int N>
__device__ __forceinline__ void normalize_part(
    Int n, Int k, Int rows, const A *mean, const A *inverse, const T *gamma, const T *beta,
    const T *__restrict__ inputs, T *__restrict__ normalized, T *__restrict__ output
) {
    const Int column = walked_column<N>(), begin = (Int)blockIdx.y * rows;
    const Int end = begin + rows < n ? begin + rows : n;
    if (column >= k) return;
    A m[N], share[N], g[N], b[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
        m[j] = mean[column + j];
        share[j] = inverse[column + j];
        g[j] = A(gamma[column + j]);
        b[j] = A(beta[column + j]);
    }
    for (Int row = begin + threadIdx.y; row < end; row += blockDim.y) {
        const Int i = row * k + column;
        const Part<N> part = load<N>(inputs + i);
        A z[N], y[N];
#pragma unroll
        for (int j = 0; j < N; ++j) {
            z[j] = (A(part.at[j]) - m[j]) * share[j];
            y[j] = g[j] * z[j] + b[j];
        }
        store(normalized + i, z);
        store(output + i, y);
    }
}

extern "C" __global__ void __launch_bounds__(256) normalize(
    Int n, Int k, Int rows, int packed, const A *mean, const A *inverse, const T *gamma,
    const T *beta, const T *inputs, T *normalized, T *output
) {
    if (packed)
        normalize_part<PACK>(n, k, rows, mean, inverse, gamma, beta, inputs, normalized, output);
    else
        normalize_part<1>(n, k, rows, mean, inverse, gamma, beta, inputs, normalized, output);
}

// The sums of dvalues * normalized, and of dvalues, over each part.
template <int N>
__device__ __forceinline__ void part_sums(
    Int n, Int k, Int rows, const T *dvalues, const T *normalized, A *products, A *sums
) {
    const Int column = walked_column<N>(), begin = (Int)blockIdx.y * rows;
    const Int end = begin + rows < n ? begin + rows : n;
    A product[N] = {}, sum[N] = {};
    if (column < k)
        for (Int row = begin + threadIdx.y; row < end; row += blockDim.y) {
            const Int i = row * k + column;
            const Part<N> d = load<N>(dvalues + i), z = load<N>(normalized + i);
#pragma unroll
            for (int j = 0; j < N; ++j) {
                product[j] += A(d.at[j]) * A(z.at[j]);
                sum[j] += A(d.at[j]);
            }
        }
    over_walkers(product);
    over_walkers(sum);
    if (threadIdx.y || column >= k) return;
#pragma unroll
    for (int j = 0; j < N; ++j) {
        products[blockIdx.y * k + column + j] = product[j];
        sums[blockIdx.y * k + column + j] = sum[j];
    }
}

extern "C" __global__ void __launch_bounds__(256) norm_sums(
    Int n, Int k, Int rows, int packed, const T *dvalues, const T *normalized, A *products, A *sums
) {
    if (packed)
        part_sums<PACK>(n, k, rows, dvalues, normalized, products, sums);
    else
        part_sums<1>(n, k, rows, dvalues, normalized, products, sums);
}

// Puts those sums together: dgamma, dbeta, and `exact`, both of them not rounded.
extern "C" __global__ void __launch_bounds__(1024) add_norm_sums(
    Int k, Int parts, const A *products, const A *sums, T *dgamma, T *dbeta, A *exact
) {
    const Int column = (Int)blockIdx.x * 32 + threadIdx.x;
    A product = 0, sum = 0;
    if (column < k)
        for (Int part = threadIdx.y; part < parts; part += blockDim.y) {
            product += products[part * k + column];
            sum += sums[part * k + column];
        }
    product = over_column(product);
    sum = over_column(sum);
    if (threadIdx.y || column >= k) return;
    dgamma[column] = T(product);
    dbeta[column] = T(sum);
    exact[column] = product;
    exact[k + column] = sum;
}

template <int N>
__device__ __forceinline__ void part_backward(
    Int n, Int k, Int rows, const A *exact, const A *scale, const T *__restrict__ dvalues,
    const T *__restrict__ normalized, T *__restrict__ dinputs
) {
    const Int column = walked_column<N>(), begin = (Int)blockIdx.y * rows;
    const Int end = begin + rows < n ? begin + rows : n;
    if (column >= k) return;
    A of_gamma[N], of_beta[N], s[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
        of_gamma[j] = exact[column + j] / A(n);
        of_beta[j] = exact[k + column + j] / A(n);
        s[j] = scale[column + j];
    }
    for (Int row = begin + threadIdx.y; row < end; row += blockDim.y) {
        const Int i = row * k + column;
        const Part<N> d = load<N>(dvalues + i), z = load<N>(normalized + i);
        A x[N];
#pragma unroll
        for (int j = 0; j < N; ++j)
            x[j] = (A(d.at[j]) - of_beta[j] - A(z.at[j]) * of_gamma[j]) * s[j];
        store(dinputs + i, x);
    }
}

extern "C" __global__ void __launch_bounds__(256) normalize_backward(
    Int n, Int k, Int rows, int packed, const A *exact, const A *scale, const T *dvalues,
    const T *normalized, T *dinputs
) {
    if (packed)
        part_backward<PACK>(n, k, rows, exact, scale, dvalues, normalized, dinputs);
    else
        part_backward<1>(n, k, rows, exact, scale, dvalues, normalized, dinputs);
}
