// Activations that the standard has in many passes.

constexpr double ROOT_HALF = 0.7071067811865476, ROOT_TWO_OF_PI = 0.7978845608028654;
constexpr double CUBIC = 0.044715;

extern "C" __global__ void gelu(Int size, Int packs, int approximate, T *x, T *output, T *share) {
    T *const arrays[3] = {x, output, share};
    sweep<3, 6u>(size, packs, arrays, [=](A(&v)[3], Int) {
        const A x = v[0];
        const A bent = approximate ? tanh(A(ROOT_TWO_OF_PI) * x * (A(1) + A(CUBIC) * x * x))
                                   : erf(x * A(ROOT_HALF));
        v[2] = (bent + A(1)) * A(0.5);
        v[1] = x * v[2];
    });
}

extern "C" __global__ void gelu_backward(
    Int size, Int packs, int approximate, T *dvalues, T *x, T *share, T *dinputs
) {
    T *const arrays[4] = {dvalues, x, share, dinputs};
    sweep<4, 8u>(size, packs, arrays, [=](A(&v)[4], Int) {
        const A x = v[1], s = v[2];
        const A density = approximate ? A(2 * ROOT_TWO_OF_PI) * s * (A(1) - s) * (A(1) + A(3 * CUBIC) * x * x)
                                      : A(ROOT_TWO_OF_PI / 2) * exp(A(-0.5) * x * x);
        v[3] = v[0] * (s + x * density);
    });
}
