// What a step that is recorded once and run many times reads anew each time, and leaves behind.

__device__ __forceinline__ void copy(Int bytes, const unsigned char *from, unsigned char *to) {
    const bool aligned = !((Address(from) | Address(to)) % 16);
    const Int packs = aligned ? bytes / 16 : 0;
    for (Int p = first_index(); p < packs; p += stride()) ((uint4 *)to)[p] = ((const uint4 *)from)[p];
    for (Int i = packs * 16 + first_index(); i < bytes; i += stride()) to[i] = from[i];
}

// The numbers of the next step, which come as arguments, so that none is overwritten before its step
// has read it; and the arrays of its batch.
extern "C" __global__ void begin(
    Int *counts, Int iterations, Int steps_done, Int start, Int index,
    T *rate, double rate_now, double *decay, double decay_now,
    Int bytes, const unsigned char *from, unsigned char *to,
    Int bytes_2, const unsigned char *from_2, unsigned char *to_2,
    Int bytes_3, const unsigned char *from_3, unsigned char *to_3
) {
    if (first_index() == 0) {
        counts[0] = iterations;
        counts[1] = steps_done;
        counts[2] = start;
        counts[3] = index;
        *rate = T(rate_now);
        *decay = decay_now;
    }
    copy(bytes, from, to);
    copy(bytes_2, from_2, to_2);
    copy(bytes_3, from_3, to_3);
}

// Rows order[start], order[start + 1], … of an array, in units of 16, 4 or 1 bytes.
template <class Unit>
__device__ __forceinline__ void gather(
    Int n, Int width, const Int *order, Address start_at, Int start, const Unit *rows, Unit *batch
) {
    const Int *chosen = order + (start_at ? *(const Int *)start_at + start : start);
    for (Int i = first_index(); i < n * width; i += stride())
        batch[i] = rows[chosen[i / width] * width + i % width];
}

extern "C" __global__ void gather_16(
    Int n, Int width, const Int *order, Address start_at, Int start, const uint4 *rows, uint4 *batch
) {
    gather(n, width, order, start_at, start, rows, batch);
}

extern "C" __global__ void gather_4(
    Int n, Int width, const Int *order, Address start_at, Int start, const Word *rows, Word *batch
) {
    gather(n, width, order, start_at, start, rows, batch);
}

extern "C" __global__ void gather_1(
    Int n, Int width, const Int *order, Address start_at, Int start, const unsigned char *rows,
    unsigned char *batch
) {
    gather(n, width, order, start_at, start, rows, batch);
}

extern "C" __global__ void put(Address index_at, Int index, const T *value, T *values) {
    values[index_at ? *(const Int *)index_at + index : index] = *value;
}

// Between the half precision that a model works in and the float32 that its weights are kept in.
extern "C" __global__ void widen(Int size, const A *factor, const T *narrow, A *wide) {
    const A by = *factor;
    for (Int i = first_index(); i < size; i += stride()) wide[i] = A(narrow[i]) * by;
}

extern "C" __global__ void narrow(Int size, const A *wide, T *narrow) {
    for (Int i = first_index(); i < size; i += stride()) narrow[i] = T(wide[i]);
}
