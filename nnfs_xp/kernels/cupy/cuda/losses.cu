// Softmax and cross-entropy in one.

extern "C" __global__ void softmax_cross_entropy(
    Int n, Int k, A smoothing, const T *logits, const Int *labels, T *losses, T *dinputs
) {
    const Int row = (Int)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= n) return;
    logits += row * k;
    dinputs += row * k;
    A largest = -INFINITY;
    for (Int j = threadIdx.x; j < k; j += blockDim.x) largest = Largest()(largest, A(logits[j]));
    largest = over_row(largest, Largest());
    A sum = 0;
    for (Int j = threadIdx.x; j < k; j += blockDim.x) sum += exp(A(logits[j]) - largest);
    sum = over_row(sum, Sum());
    const Int label = labels[row];
    const A log_sum = log(sum), known = label >= 0 && label < k ? A(0) : A(NAN);
    const A spread = smoothing / A(k);
    A loss = 0;
    for (Int j = threadIdx.x; j < k; j += blockDim.x) {
        const A shifted = A(logits[j]) - largest;
        const A share = (j == label ? A(1) - smoothing : A(0)) + spread + known;
        if (share != A(0)) loss -= share * (shifted - log_sum);
        dinputs[j] = T((exp(shifted) / sum - share) / A(n));
    }
    loss = over_row(loss, Sum());
    if (threadIdx.x == 0) losses[row] = T(loss);
}
