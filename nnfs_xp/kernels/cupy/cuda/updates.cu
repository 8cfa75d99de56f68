// The optimizers' formulas, each one pass over flat arrays of one size. The learning rate and the
// number of the step may be on the device.

extern "C" __global__ void sgd(
    Int size, Int packs, Address rate_at, A rate, T *values, T *g
) {
    const A step = number(rate_at, rate);
    T *const arrays[2] = {values, g};
    sweep<2, 1u>(size, packs, arrays, [=](A(&x)[2], Int) { x[0] -= step * x[1]; });
}

extern "C" __global__ void momentum(
    Int size, Int packs, Address rate_at, A rate, A past, int nesterov, T *values, T *g, T *v
) {
    const A step = number(rate_at, rate);
    T *const arrays[3] = {values, g, v};
    sweep<3, 5u>(size, packs, arrays, [=](A(&x)[3], Int) {
        const A s = -step * x[1];
        x[2] = past * x[2] + s;
        x[0] += nesterov ? s + past * x[2] : x[2];
    });
}

// Adagrad with past = present = 1, RMSprop with rho and 1 - rho.
extern "C" __global__ void scaled(
    Int size, Int packs, Address rate_at, A rate, A past, A present, A epsilon, T *values, T *g, T *c
) {
    const A step = number(rate_at, rate);
    T *const arrays[3] = {values, g, c};
    sweep<3, 5u>(size, packs, arrays, [=](A(&x)[3], Int) {
        x[2] = past * x[2] + present * (x[1] * x[1]);
        x[0] -= step * x[1] / (sqrt(x[2]) + epsilon);
    });
}

struct Corrected {
    A rate, epsilon;
};

// Rate and epsilon that stand for the corrections of both means, worked out once for each block: see
// `corrected` in nnfs_xp/kernels/numpy.py.
__device__ __forceinline__ Corrected corrected(
    Address t_at, Int t, Address rate_at, A rate, double beta_1, double beta_2, double epsilon
) {
    __shared__ Corrected result;
    if (threadIdx.x == 0) {
        const double count = (double)(t_at ? *(const Int *)t_at + t : t);
        const double root = sqrt(1 - pow(beta_2, count));
        const double step = (double)number(rate_at, rate);
        result.rate = A(step / (1 - pow(beta_1, count)) * root);
        result.epsilon = A(epsilon * root);
    }
    __syncthreads();
    return result;
}

extern "C" __global__ void adam(
    Int size, Int packs, Address t_at, Int t, Address rate_at, A rate, double beta_1, double beta_2,
    double epsilon, T *values, T *g, T *m, T *c
) {
    const Corrected by = corrected(t_at, t, rate_at, rate, beta_1, beta_2, epsilon);
    const A past_1 = A(beta_1), present_1 = A(1 - beta_1);
    const A past_2 = A(beta_2), present_2 = A(1 - beta_2);
    T *const arrays[4] = {values, g, m, c};
    sweep<4, 13u>(size, packs, arrays, [=](A(&x)[4], Int) {
        x[2] = past_1 * x[2] + present_1 * x[1];
        x[3] = past_2 * x[3] + present_2 * (x[1] * x[1]);
        x[0] -= by.rate * x[2] / (sqrt(x[3]) + by.epsilon);
    });
}

extern "C" __global__ void amsgrad(
    Int size, Int packs, Address t_at, Int t, Address rate_at, A rate, double beta_1, double beta_2,
    double epsilon, T *values, T *g, T *m, T *c, T *largest
) {
    const Corrected by = corrected(t_at, t, rate_at, rate, beta_1, beta_2, epsilon);
    const A past_1 = A(beta_1), present_1 = A(1 - beta_1);
    const A past_2 = A(beta_2), present_2 = A(1 - beta_2);
    T *const arrays[5] = {values, g, m, c, largest};
    sweep<5, 29u>(size, packs, arrays, [=](A(&x)[5], Int) {
        x[2] = past_1 * x[2] + present_1 * x[1];
        x[3] = past_2 * x[3] + present_2 * (x[1] * x[1]);
        x[4] = x[4] > x[3] ? x[4] : x[3];  // so that NaN goes on
        x[0] -= by.rate * x[2] / (sqrt(x[4]) + by.epsilon);
    });
}

extern "C" __global__ void lion(
    Int size, Int packs, Address rate_at, A rate, A past_1, A present_1, A past_2, A present_2,
    T *values, T *g, T *m
) {
    const A step = number(rate_at, rate);
    T *const arrays[3] = {values, g, m};
    sweep<3, 5u>(size, packs, arrays, [=](A(&x)[3], Int) {
        const A d = past_1 * x[2] + present_1 * x[1];
        x[2] = past_2 * x[2] + present_2 * x[1];
        x[0] -= step * (d > A(0) ? A(1) : d < A(0) ? A(-1) : d);
    });
}

extern "C" __global__ void shrink(
    Int size, Int packs, Address rate_at, A rate, Address decay_at, double decay, T *values
) {
    const A factor = A(1 - (double)number(rate_at, rate) * number(decay_at, decay));
    T *const arrays[1] = {values};
    sweep<1, 1u>(size, packs, arrays, [=](A(&x)[1], Int) { x[0] *= factor; });
}

extern "C" __global__ void average(
    Int size, Int packs, A past, A present, T *averages, T *values
) {
    T *const arrays[2] = {averages, values};
    sweep<2, 1u>(size, packs, arrays, [=](A(&x)[2], Int) { x[0] = past * x[0] + present * x[1]; });
}
