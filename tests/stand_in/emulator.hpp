// CUDA on the CPU, one block after the other: what a CUDA source needs in order to compile as C++.
//
// The threads of a block are fibers: each has a stack, and runs until it meets a barrier or ends.
// Only one runs at a time, so memory fences and atomic operations have nothing to do. A block whose
// first thread ends without meeting a barrier needs no fibers, as barriers are for all or for none.

#include <math.h>  // with float and double overloads of exp, log, isfinite and so on
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("emulator_shared")))
#define __syncthreads() emulator::barrier(__LINE__)

struct uint3 {
    unsigned x, y, z;
};
static uint3 threadIdx, blockIdx, blockDim, gridDim;

static inline void __threadfence() {}

static inline unsigned atomicAdd(unsigned *address, unsigned value) {
    const unsigned old = *address;
    *address += value;
    return old;
}

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

static inline double __dadd_rn(double a, double b) {
    const volatile double sum = a + b;  // not fused with a product
    return sum;
}
static inline double __dmul_rn(double a, double b) {
    const volatile double product = a * b;
    return product;
}

template <class T>
static inline T min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
static inline T max(T a, T b) {
    return a < b ? b : a;
}

extern char __start_emulator_shared[] __attribute__((visibility("hidden")));
extern char __stop_emulator_shared[] __attribute__((visibility("hidden")));

namespace emulator {

const unsigned MOST_THREADS = 1024;  // of a block
const size_t STACK = 64 * 1024;      // bytes of a thread's stack

// So that the section exists.
static __attribute__((section("emulator_shared"), used)) char in_the_section;

// -- fibers ------------------------------------------------------------------------------------
enum State { RUNNING, WAITING, ENDED };

struct Fiber {
    jmp_buf where;  // it goes on from there
    State state;
    int line;  // of the barrier at which it waits
    bool made;
};

static Fiber fibers[MOST_THREADS];
static Fiber *current;  // null in a thread that is a plain call
static jmp_buf scheduler, escape;
static ucontext_t context;  // of a fiber that begins
static void (*job)(const unsigned char *);
static const unsigned char *arguments;
static char message[256];

template <class... A>
[[noreturn]] static void fail(const char *format, A... a) {
    snprintf(message, sizeof message, format, a...);
    _longjmp(escape, 1);
}

static void be(unsigned thread) {
    threadIdx.x = thread % blockDim.x;
    threadIdx.y = thread / blockDim.x % blockDim.y;
    threadIdx.z = thread / blockDim.x / blockDim.y;
}

// Threads have turns: first to last, or last to first. Each hands over to the next one, and the
// last one of those that are to run now to the scheduler.
static unsigned threads, turn, turns;
static bool backward;

static unsigned thread_of(unsigned k) { return backward ? threads - 1 - k : k; }

static void begin_turn() {
    be(thread_of(turn));
    current = &fibers[thread_of(turn)];
    current->state = RUNNING;
}

// No function sees into these (noipa): whatever is in memory may have changed when they return.
// _setjmp leaves the signal mask alone, so a switch makes no system call.
__attribute__((noipa)) static void hand_over() {
    if (_setjmp(current->where)) return;
    if (++turn == turns) _longjmp(scheduler, 1);
    begin_turn();
    _longjmp(current->where, 1);
}
__attribute__((noipa)) static void to_fiber() {
    if (!_setjmp(scheduler)) _longjmp(current->where, 1);
}
__attribute__((noipa)) static void to_new_fiber() {
    if (!_setjmp(scheduler)) setcontext(&context);
}

static void life_of_a_fiber() {
    for (;;) {  // a kernel's thread each time
        hand_over();
        job(arguments);
        current->state = ENDED;
    }
}

static bool make(unsigned thread) {
    static char *stacks;
    const size_t page = (size_t)getpagesize(), each = STACK + page;
    if (!stacks) {
        void *memory = mmap(nullptr, MOST_THREADS * each, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return false;
        stacks = (char *)memory;
    }
    char *stack = stacks + thread * each;
    mprotect(stack, page, PROT_NONE);  // running off the stack is a crash, not a strange number
    getcontext(&context);
    context.uc_stack.ss_sp = stack + page;
    // Stacks begin at different places of their pages, or they would share few lines of the cache.
    context.uc_stack.ss_size = STACK - thread % 32 * 128;
    context.uc_link = nullptr;
    makecontext(&context, life_of_a_fiber, 0);
    fibers[thread].made = true;
    current = &fibers[thread];
    turn = 0, turns = 1;
    to_new_fiber();
    return true;
}

// The turns from `first` to before `end`, each until a barrier or the end of its thread.
static void run(unsigned first, unsigned end) {
    for (unsigned k = first; k < end; ++k)
        if (!fibers[thread_of(k)].made && !make(thread_of(k)))
            fail("no memory for the stacks of the threads");
    turn = first, turns = end;
    begin_turn();
    to_fiber();
    current = nullptr;
}

__attribute__((noipa)) static void barrier(int line) {
    if (!current)
        fail("divergent barrier: thread %u of block (%u, %u, %u) waits in line %d, another has ended",
             threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z), blockIdx.x,
             blockIdx.y, blockIdx.z, line);
    current->state = WAITING;
    current->line = line;
    hand_over();
}

// -- blocks ------------------------------------------------------------------------------------
static void run_block() {
    run(0, 1);
    if (fibers[thread_of(0)].state == ENDED) {
        for (unsigned k = 1; k < threads; ++k) {
            be(thread_of(k));
            job(arguments);
        }
        return;
    }
    for (unsigned first = 1;; first = 0) {
        if (first < threads) run(first, threads);
        unsigned ended = 0, one = 0, other = 0;  // how many ended; one that did, one that did not
        for (unsigned t = 0; t < threads; ++t) {
            const bool end = fibers[t].state == ENDED;
            ended += end;
            (end ? one : other) = t;
        }
        if (ended == threads) return;
        if (ended)
            fail("divergent barrier: thread %u of block (%u, %u, %u) waits in line %d, thread %u "
                 "has ended", other, blockIdx.x, blockIdx.y, blockIdx.z, fibers[other].line, one);
        for (unsigned t = 1; t < threads; ++t)
            if (fibers[t].line != fibers[0].line)
                fail("divergent barrier: thread 0 of block (%u, %u, %u) waits in line %d, thread "
                     "%u in line %d", blockIdx.x, blockIdx.y, blockIdx.z, fibers[0].line, t,
                     fibers[t].line);
    }
}

static void run_grid() {
    const size_t blocks = (size_t)gridDim.x * gridDim.y * gridDim.z;
    for (size_t i = 0; i < blocks; ++i) {
        const size_t block = backward ? blocks - 1 - i : i;
        blockIdx.x = (unsigned)(block % gridDim.x);
        blockIdx.y = (unsigned)(block / gridDim.x % gridDim.y);
        blockIdx.z = (unsigned)(block / gridDim.x / gridDim.y);
        // Shared memory holds no zeros in real life either. As a number, all ones are NaN.
        memset(__start_emulator_shared, 0xFF, __stop_emulator_shared - __start_emulator_shared);
        run_block();
    }
}

// -- kernels by name -----------------------------------------------------------------------------
// The name of a parameter's type, as NumPy calls it. No other type can be a parameter.
template <class T>
struct Name;
#define EMULATOR_NAME(type, name)                                            \
    template <>                                                              \
    struct Name<type> {                                                      \
        static void write(char *to) { strcat(to, name); }                    \
    };
EMULATOR_NAME(float, "float32")
EMULATOR_NAME(double, "float64")
EMULATOR_NAME(unsigned char, "uint8")
EMULATOR_NAME(int, "int32")
EMULATOR_NAME(unsigned, "uint32")
EMULATOR_NAME(long, "int64")
EMULATOR_NAME(long long, "int64")
EMULATOR_NAME(unsigned long, "uint64")
EMULATOR_NAME(unsigned long long, "uint64")
template <class T>
struct Name<T *> {
    static void write(char *to) {
        Name<T>::write(to);
        strcat(to, "*");
    }
};
template <class T>
struct Name<const T *> {
    static void write(char *to) {
        strcat(to, "const ");
        Name<T *>::write(to);
    }
};

struct Kernel {
    const char *name;
    void (*call)(const unsigned char *slots);  // 8 bytes for each argument
    void (*signature)(char *to);
};

template <class T>
static T slot(const unsigned char *slots, size_t i) {
    T value;
    memcpy(&value, slots + 8 * i, sizeof value);
    return value;
}

template <class... A, size_t... I>
static void call(void (*function)(A...), const unsigned char *slots, std::index_sequence<I...>) {
    function(slot<A>(slots, I)...);
}

template <class... A>
static void call(void (*function)(A...), const unsigned char *slots) {
    call(function, slots, std::index_sequence_for<A...>());
}

template <class... A>
static void signature(void (*)(A...), char *to) {
    ((Name<A>::write(to), strcat(to, ",")), ...);
}

template <auto function>
static Kernel kernel(const char *name) {
    return {name, [](const unsigned char *slots) { call(function, slots); },
            [](char *to) { signature(function, to); }};
}

static int launch(const Kernel &kernel, const unsigned *sizes, bool from_last,
                  const unsigned char *slots) {
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    threads = blockDim.x * blockDim.y * blockDim.z;
    backward = from_last;
    job = kernel.call;
    arguments = slots;
    current = nullptr;
    if (_setjmp(escape)) {
        for (Fiber &fiber : fibers) fiber.made = false;  // some are in the middle of a kernel
        return 1;
    }
    run_grid();
    return 0;
}

}  // namespace emulator
