// CUDA C++ for g++: what a kernel's source finds here instead of NVIDIA's headers.
//
// The threads of a block are fibers, of which one runs at a time: from thread 0 on, each until it
// ends or waits for others. As long as none waits they all share one fiber.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <utility>

#define __CUDA_ARCH__ 900
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ __attribute__((section("cuda_shared"))) static  // one block runs at a time
#define __grid_constant__

#define CUDA_VECTORS(T, N)                                                              \
    struct alignas(2 * sizeof(T)) N##2 { T x, y; };                                     \
    struct N##3 { T x, y, z; };                                                         \
    struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) N##4 { T x, y, z, w; };     \
    static inline N##2 make_##N##2(T x, T y) { return {x, y}; }                         \
    static inline N##3 make_##N##3(T x, T y, T z) { return {x, y, z}; }                 \
    static inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
typedef unsigned int cuda_uint;
CUDA_VECTORS(float, float)
CUDA_VECTORS(double, double)
CUDA_VECTORS(int, int)
CUDA_VECTORS(cuda_uint, uint)
CUDA_VECTORS(unsigned char, uchar)
CUDA_VECTORS(unsigned short, ushort)
CUDA_VECTORS(long long, longlong)

struct dim3 { unsigned x, y, z; };
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
static const int warpSize = 32;

// Blocks and their threads

extern char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));

namespace cuda_on_cpu {

constexpr int THREADS = 1024, STACK = 64 * 1024 + 320, SHARED = 227 * 1024;
enum State : char { IDLE, READY, WAITING };

struct Fiber {
    jmp_buf at;
    bool at_barrier;
    unsigned thread;
};

// Lanes of a warp that exchange values. Who is there for the next round, while others have not yet
// read those of the last one, finds the other half of the room.
struct Meeting {
    unsigned members, arrived, round;
    int fibers[32];
    alignas(8) char values[2][32][8];
};

static Fiber fibers[THREADS];
static State states[THREADS];
constexpr int MASKS = 8;
static Meeting meetings[32][MASKS];
static bool have_met;
static int created, current, waiting;
static unsigned threads, next, finished;
static jmp_buf scheduler;
static char *stacks;
static void (*kernel)(void **);
static void **arguments;
static char message[256];
alignas(128) static char shared[SHARED];

static void place(unsigned thread) {
    fibers[current].thread = thread;
    if (blockDim.y == 1 && blockDim.z == 1) {
        threadIdx = {thread, 0, 0};
    } else {
        const unsigned row = thread / blockDim.x;
        threadIdx = {thread % blockDim.x, row % blockDim.y, row / blockDim.y};
    }
}

// Go on with another fiber that can, in turn; with the scheduler's help as long as threads are to be
// started, or where there is none.
static __attribute__((noinline)) void suspend() {
    if (_setjmp(fibers[current].at)) return;
    if (next == threads && !*message)
        for (int f = current + 1; f < current + created; ++f) {
            const int other = f < created ? f : f - created;
            if (states[other] != READY) continue;
            current = other;
            place(fibers[other].thread);
            _longjmp(fibers[other].at, 1);
        }
    _longjmp(scheduler, 1);
}

static void run_threads() {
    for (;;) {
        while (next < threads) {
            place(next++);
            kernel(arguments);
            ++finished;
        }
        states[current] = IDLE;
        suspend();
    }
}

static __attribute__((noinline)) void resume(int fiber) {
    const bool is_new = fiber == created;
    current = fiber;
    if (!is_new) place(fibers[fiber].thread);
    states[fiber] = READY;
    if (_setjmp(scheduler)) return;
    if (!is_new) _longjmp(fibers[fiber].at, 1);
    ++created;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks + (size_t)fiber * STACK;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, run_threads, 0);
    setcontext(&context);
}

static bool fail(const char *text) {
    if (!*message)
        snprintf(message, sizeof message, "%s, in block (%u, %u, %u)", text, blockIdx.x,
                 blockIdx.y, blockIdx.z);
    return false;
}

static bool run_block(size_t shared_bytes) {
    next = finished = waiting = 0;
    if (have_met)
        for (auto &warp : meetings)
            for (auto &meeting : warp) meeting.members = 0;
    have_met = false;
    memset(shared, 0xFF, shared_bytes);
    memset(__start_cuda_shared, 0xFF, __stop_cuda_shared - __start_cuda_shared);
    for (;;) {
        bool ran = false;
        for (int f = 0; f < created && !*message; ++f)
            if (states[f] == READY) resume(f), ran = true;
        for (int f = 0; next < threads && !*message; ++f)
            if (f == created || states[f] == IDLE) resume(f), ran = true;
        if (*message) return false;
        if (finished == threads) return true;
        if (!ran)
            return fail(waiting ? "barrier not reached by all threads"
                                : "shuffle not reached by all lanes of its mask");
    }
}

static __attribute__((noinline)) void wait_for_block() {
    if (++waiting == (int)threads) {
        waiting = 0;
        for (int f = 0; f < created; ++f)
            if (fibers[f].at_barrier) fibers[f].at_barrier = false, states[f] = READY;
    } else {
        fibers[current].at_barrier = true;
        states[current] = WAITING;
        suspend();
    }
}

static inline unsigned lane() { return fibers[current].thread % 32; }

// Give a value to the other lanes of the mask, and get the room with those of all of them.
static __attribute__((noinline)) const char (*meet(unsigned &mask, const void *value, size_t size))[8] {
    const unsigned warp = fibers[current].thread / 32, own = lane();
    if (threads < 32 * (warp + 1)) mask &= (1u << threads % 32) - 1;
    if (!(mask >> own & 1)) fail("a thread outside the mask of its shuffle"), suspend();
    Meeting *m = meetings[warp], *end = m + MASKS;
    while (m < end && m->members && m->members != mask) ++m;
    if (m == end) fail("more masks than the stand-in has room for"), suspend();
    have_met = true;
    const char(*room)[8] = m->values[m->round & 1];
    m->members = mask;
    m->arrived |= 1u << own;
    m->fibers[own] = current;
    memcpy((void *)room[own], value, size);
    if (m->arrived == mask) {
        m->arrived = 0;
        ++m->round;
        for (int l = 0; l < 32; ++l)
            if (mask >> l & 1) states[m->fibers[l]] = READY;
    } else {
        states[current] = WAITING;
        suspend();
    }
    return room;
}

template <class T> T from_lane(unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8, "shuffles take up to 8 bytes");
    const char(*room)[8] = meet(mask, &value, sizeof value);
    T result;
    memset((void *)&result, 0xFF, sizeof result);  // of a lane that takes no part
    if (mask >> source & 1) memcpy((void *)&result, room[source], sizeof result);
    return result;
}

static unsigned ballot(unsigned mask, int predicate) {
    const char(*room)[8] = meet(mask, &predicate, sizeof predicate);
    unsigned bits = 0;
    for (int l = 0; l < 32; ++l) {
        int there;
        memcpy(&there, room[l], sizeof there);
        if ((mask >> l & 1) && there) bits |= 1u << l;
    }
    return bits;
}

// What Python asks for

struct Kernel {
    const char *name;
    void (*run)(void **);
    void (*describe)(char *);
};

static const char *launch(const Kernel &which, const unsigned *sizes, size_t shared_bytes,
                          void **values) {
    if (!stacks)
        stacks = (char *)mmap(nullptr, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    threads = blockDim.x * blockDim.y * blockDim.z;
    kernel = which.run;
    arguments = values;
    *message = 0;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                if (!run_block(shared_bytes)) {
                    created = 0;  // their stacks are of no use any more
                    memset((void *)fibers, 0, sizeof fibers);
                    memset((void *)meetings, 0, sizeof meetings);
                    return message;
                }
    return nullptr;
}

}  // namespace cuda_on_cpu

static inline void __syncthreads() { cuda_on_cpu::wait_for_block(); }
static inline void __syncwarp(unsigned mask = ~0u) { cuda_on_cpu::from_lane(mask, 0, 0); }
static inline unsigned __ballot_sync(unsigned m, int p) { return cuda_on_cpu::ballot(m, p); }
static inline int __any_sync(unsigned m, int p) { return cuda_on_cpu::ballot(m, p) != 0; }
static inline int __all_sync(unsigned m, int p) { return cuda_on_cpu::ballot(m, !p) == 0; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const int own = cuda_on_cpu::lane(), base = own & ~(width - 1);
    return cuda_on_cpu::from_lane(mask, value, base + (source & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    const int own = cuda_on_cpu::lane(), other = own ^ bits, end = (own & ~(width - 1)) + width;
    return cuda_on_cpu::from_lane(mask, value, other < end ? other : own);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const int own = cuda_on_cpu::lane(), place = own & (width - 1);
    return cuda_on_cpu::from_lane(mask, value, place + (int)by < width ? own + by : own);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    const int own = cuda_on_cpu::lane(), place = own & (width - 1);
    return cuda_on_cpu::from_lane(mask, value, place >= (int)by ? own - by : own);
}

template <class T> T __ldg(const T *at) { return *at; }
template <class T> T __ldcs(const T *at) { return *at; }
template <class T> void __stcs(T *at, T value) { *at = value; }
#define CUDA_ATOMIC(NAME, EXPRESSION)                                  \
    template <class T, class U> T NAME(T *at, U with) {                \
        const T old = *at, value = (T)with;                            \
        *at = (EXPRESSION);                                            \
        return old;                                                    \
    }
CUDA_ATOMIC(atomicAdd, old + value)
CUDA_ATOMIC(atomicSub, old - value)
CUDA_ATOMIC(atomicExch, value)
CUDA_ATOMIC(atomicMax, old < value ? value : old)
CUDA_ATOMIC(atomicMin, value < old ? value : old)
CUDA_ATOMIC(atomicOr, old | value)
CUDA_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
template <class T> T atomicCAS(T *at, T expected, T value) {
    const T old = *at;
    if (old == expected) *at = value;
    return old;
}

// Numbers. The fast intrinsics are as exact here as the others.

#define CUDA_MIN_MAX(T)                                    \
    static inline T min(T a, T b) { return b < a ? b : a; } \
    static inline T max(T a, T b) { return a < b ? b : a; }
CUDA_MIN_MAX(int)
CUDA_MIN_MAX(unsigned)
CUDA_MIN_MAX(long)
CUDA_MIN_MAX(unsigned long)
CUDA_MIN_MAX(long long)
CUDA_MIN_MAX(unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline float rsqrt(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1 / x; }
static inline float __frsqrt_rn(float x) { return 1 / sqrtf(x); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline float __saturatef(float x) { return x > 0 ? fminf(x, 1) : 0; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
#define __expf(x) expf(x)  // the C library declares some of these, and does not have them
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)

namespace cuda_on_cpu {
template <class To, class From> inline To bits_of(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To result;
    memcpy((void *)&result, &value, sizeof result);
    return result;
}
}  // namespace cuda_on_cpu
static inline float __int_as_float(int x) { return cuda_on_cpu::bits_of<float>(x); }
static inline float __uint_as_float(unsigned x) { return cuda_on_cpu::bits_of<float>(x); }
static inline int __float_as_int(float x) { return cuda_on_cpu::bits_of<int>(x); }
static inline unsigned __float_as_uint(float x) { return cuda_on_cpu::bits_of<unsigned>(x); }
static inline double __longlong_as_double(long long x) { return cuda_on_cpu::bits_of<double>(x); }
static inline long long __double_as_longlong(double x) {
    return cuda_on_cpu::bits_of<long long>(x);
}

// Half precision: conversions round to nearest, ties to even.

namespace cuda_on_cpu {

// `bits` shifted down, rounded.
static inline uint32_t rounded(uint32_t bits, int shift) {
    const uint32_t half = 1u << (shift - 1), rest = bits & ((half << 1) - 1), whole = bits >> shift;
    return whole + (rest > half || (rest == half && (whole & 1)));
}

static inline uint16_t to_half(float value) {
    const uint32_t bits = bits_of<uint32_t>(value), sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000) return sign | 0x7E00;
    if (size >= 0x477FF000) return sign | 0x7C00;  // what rounds to 65536 or more
    if (size >= 0x38800000) return sign | rounded(size - 0x38000000, 13);
    if (size < 0x33000000) return sign;  // below half of the smallest number
    return sign | rounded((size & 0x7FFFFF) | 0x800000, 126 - (size >> 23));
}

static inline float from_half(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7FFF;
    if (size >= 0x7C00) return bits_of<float>(sign | 0x7F800000 | (size & 0x3FF) << 13);
    if (size >= 0x0400) return bits_of<float>(sign | ((size << 13) + 0x38000000));
    return copysignf(size * 0x1p-24f, bits_of<float>(sign));
}

static inline uint16_t to_bfloat(float value) {
    const uint32_t bits = bits_of<uint32_t>(value);
    return value != value ? 0x7FFF : rounded(bits, 16);
}

static inline float from_bfloat(uint16_t half) { return bits_of<float>((uint32_t)half << 16); }

}  // namespace cuda_on_cpu

#define CUDA_NARROW(NAME, TO, FROM)                                              \
    struct alignas(2) NAME {                                                     \
        uint16_t bits;                                                           \
        NAME() = default;                                                        \
        template <class N> NAME(N x) : bits(cuda_on_cpu::TO((float)x)) {}        \
        operator float() const { return cuda_on_cpu::FROM(bits); }               \
        NAME operator-() const { return -(float)*this; }                         \
        NAME &operator+=(NAME y) { return *this = (float)*this + (float)y; }     \
        NAME &operator-=(NAME y) { return *this = (float)*this - (float)y; }     \
        NAME &operator*=(NAME y) { return *this = (float)*this * (float)y; }     \
        NAME &operator/=(NAME y) { return *this = (float)*this / (float)y; }     \
    };                                                                           \
    static inline NAME operator+(NAME x, NAME y) { return (float)x + (float)y; } \
    static inline NAME operator-(NAME x, NAME y) { return (float)x - (float)y; } \
    static inline NAME operator*(NAME x, NAME y) { return (float)x * (float)y; } \
    static inline NAME operator/(NAME x, NAME y) { return (float)x / (float)y; }
CUDA_NARROW(__half, to_half, from_half)
CUDA_NARROW(__nv_bfloat16, to_bfloat, from_bfloat)
typedef __half half;
typedef __nv_bfloat16 nv_bfloat16;
static inline float __half2float(__half x) { return x; }
static inline __half __float2half(float x) { return x; }
static inline __half __float2half_rn(float x) { return x; }
static inline float __bfloat162float(__nv_bfloat16 x) { return x; }
static inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
static inline __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }

// Numbers too small for a full mantissa are 0 while it lasts, as with NVRTC's -ftz=true: in double
// as well, so only in sources without any.
namespace cuda_on_cpu {
struct Rounding {
#if defined(CUDA_ON_CPU_FLUSHES) && defined(__x86_64__)
    const unsigned before = __builtin_ia32_stmxcsr();
    Rounding() { __builtin_ia32_ldmxcsr(before | 0x8040); }
    ~Rounding() { __builtin_ia32_ldmxcsr(before); }
#endif
};
}  // namespace cuda_on_cpu

// For each kernel: its parameters' types in words, and a call with values at given addresses.

namespace cuda_on_cpu {

template <class T> struct Name { static constexpr const char *text = "?"; };
#define CUDA_NAME(T, TEXT) template <> struct Name<T> { static constexpr const char *text = TEXT; };
CUDA_NAME(bool, "bool")
CUDA_NAME(signed char, "int8")
CUDA_NAME(unsigned char, "uint8")
CUDA_NAME(short, "int16")
CUDA_NAME(unsigned short, "uint16")
CUDA_NAME(int, "int32")
CUDA_NAME(unsigned, "uint32")
CUDA_NAME(long, "int64")
CUDA_NAME(unsigned long, "uint64")
CUDA_NAME(long long, "int64")
CUDA_NAME(unsigned long long, "uint64")
CUDA_NAME(float, "float32")
CUDA_NAME(double, "float64")
CUDA_NAME(__half, "float16")
CUDA_NAME(__nv_bfloat16, "bfloat16")
template <class T> struct Name<const T> : Name<T> {};
template <class T> struct Name<volatile T> : Name<T> {};
template <class T> struct Word { static void write(char *to) { strcat(to, Name<T>::text); } };
template <class T> struct Word<T *> {
    static void write(char *to) { strcat(strcat(to, "*"), Name<T>::text); }
};

template <auto F> struct Caller;
template <class... P, void (*F)(P...)> struct Caller<F> {
    static void describe(char *to) { ((Word<P>::write(to), strcat(to, " ")), ...); }
    static void run(void **values) { run(values, std::index_sequence_for<P...>()); }
    template <size_t... I> static void run(void **values, std::index_sequence<I...>) {
        F(*(P *)values[I]...);
    }
};

}  // namespace cuda_on_cpu
