// Random numbers without a state: a hash of two keys and the element's index, as in
// nnfs_xp/kernels/standard/random.py. The keys are given, or made here of a seed, a stream and a step
// that is counted on the device.

constexpr int BITS = 24;

struct Keys {
    Word first, second;
};

__device__ __forceinline__ Keys keys_of(
    Address step_at, Int offset, Address seed, Address stream, Word first, Word second
) {
    if (!step_at) return {first, second};
    Address state = 0;
    const Address words[3] = {seed, stream, (Address)(*(const Int *)step_at + offset)};
#pragma unroll
    for (int i = 0; i < 3; ++i) {
        state += words[i] + 0x9E3779B97F4A7C15ull;
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9ull;
        state = (state ^ state >> 27) * 0x94D049BB133111EBull;
        state ^= state >> 31;
    }
    return {(Word)state, (Word)(state >> 32)};
}

__device__ __forceinline__ Word hash(Word bits, Keys keys) {
    bits ^= keys.first;
    bits ^= bits >> 16;
    bits *= 0x21F0AAADu;
    bits ^= keys.second;
    bits ^= bits >> 15;
    bits *= 0x735A2D97u;
    bits ^= bits >> 15;
    return bits >> (32 - BITS);
}

extern "C" __global__ void random_bits(
    Int size, Address step_at, Int offset, Address seed, Address stream, Word first, Word second,
    Word start, Int *bits
) {
    const Keys keys = keys_of(step_at, offset, seed, stream, first, second);
    for (Int i = first_index(); i < size; i += stride()) bits[i] = hash(start + (Word)i, keys);
}

// Forward and backward are the same: the mask is made again.
extern "C" __global__ void dropout(
    Int size, Int packs, A scale, Word threshold, Address step_at, Int offset, Address seed,
    Address stream, Word first, Word second, Word start, T *inputs, T *output
) {
    const Keys keys = keys_of(step_at, offset, seed, stream, first, second);
    T *const arrays[2] = {inputs, output};
    sweep<2, 2u>(size, packs, arrays, [=](A(&x)[2], Int i) {
        x[1] = hash(start + (Word)i, keys) >= threshold ? x[0] * scale : A(0);
    });
}
