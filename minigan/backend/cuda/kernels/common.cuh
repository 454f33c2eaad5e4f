// What every kernel here shares. The sources of this folder are compiled as one text, once for
// each dtype: `real` is float or double.
//
// They are CUDA C++, and plain C++ as well where the tests compile them for the CPU, so nothing
// beyond blocks, threads, shared memory, barriers and one atomic counter is used.
//
// Python passes arguments by name. It reads the names and types of a kernel's parameters from its
// declaration: KERNEL at the start of a line, or a macro that contains it and is called as
// MACRO(name, formula, further parameters). See minigan/backend/cuda/sources.py.

#ifndef REAL
#define REAL float
#endif

typedef REAL real;
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define KERNEL extern "C" __global__ void

// Four numbers that are loaded or stored as one. Their address is a multiple of their size.
struct alignas(4 * sizeof(real)) Four {
    real at[4];
};

// Threads of a block that reduces something.
#define BLOCK 128

// Every thread takes every (number of threads)-th of n items.
#define EACH(i, n) \
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)

// The larger of x and a bound. Unlike fmax it lets a NaN in x through: nothing is hidden.
__device__ inline real at_least(real x, real bound) { return x < bound ? bound : x; }
__device__ inline real at_most(real x, real bound) { return x > bound ? bound : x; }

// E / (1 + E) with E = exp(x), held below overflow
__device__ inline real sigmoid_of(real x) {
    const real E = exp(at_most(x, sizeof(real) == 4 ? 88 : 700));
    return E / (1 + E);
}

// The sum of one number from each of the block's BLOCK threads, in an order that never changes.
__device__ inline real block_sum(real x) {
    __shared__ real part[BLOCK];
    __syncthreads();  // the last sum has been read
    part[threadIdx.x] = x;
    for (u32 half = BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    return part[0];
}
