// Normalizations: over the batch, a block for 32 columns; over the features, a row for one or more
// warps.

extern "C" __global__ void __launch_bounds__(1024) batch_norm(
    Int n, Int k, A epsilon, const T *inputs, const T *gamma, const T *beta, T *output,
    T *normalized, T *inverse, T *mean, T *variance
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
        mean[column] = T(m);
        variance[column] = T(v);
        inverse[column] = T(share);
    }
    for (Int row = threadIdx.y; row < n; row += blockDim.y) {
        const Int i = row * k + column;
        const A z = (A(inputs[i]) - m) * share;
        normalized[i] = T(z);
        output[i] = T(g * z + b);
    }
}

extern "C" __global__ void __launch_bounds__(1024) batch_norm_backward(
    Int n, Int k, const T *dvalues, const T *normalized, const T *scale, T *dgamma, T *dbeta,
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
    const A of_gamma = products / A(n), of_beta = sums / A(n), s = A(scale[column]);
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

// dgamma and dbeta of a layer norm: the sums over the batch of dvalues * normalized and of dvalues.
extern "C" __global__ void __launch_bounds__(1024) layer_norm_sums(
    Int n, Int k, const T *dvalues, const T *normalized, T *dgamma, T *dbeta
) {
    const Int column = (Int)blockIdx.x * 32 + threadIdx.x;
    A products = 0, sums = 0;
    if (column < k)
        for (Int row = threadIdx.y; row < n; row += blockDim.y) {
            const A d = A(dvalues[row * k + column]);
            products += d * A(normalized[row * k + column]);
            sums += d;
        }
    products = over_column(products);
    sums = over_column(sums);
    if (threadIdx.y == 0 && column < k) {
        dgamma[column] = T(products);
        dbeta[column] = T(sums);
    }
}
