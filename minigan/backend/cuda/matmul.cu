// C (M, N) = A (M, K) B (K, N), either factor transposed on request, for each member.
//
// A block of 256 threads makes a tile of 64 x 64 numbers of C, each thread 4 x 4 of them in
// registers. It walks along K in slices of 16: while the threads multiply one slice from shared
// memory, the next one is on its way from global memory into registers. A number that is loaded
// into shared memory is read by 16 threads, and one that is loaded into a register used 4 times.
//
// The products of a GAN step are small: a tile of 64 x 64 leaves most of a large GPU idle. So K is
// split among several blocks (`splits`), each of which leaves its part of the sum in `partials`;
// the block that finishes last, which `tickets` tells, adds the parts in their order, so the
// result does not depend on who that was.
//
// Before a number is stored, up to three formulas are applied to it. A replayed step uses that for
// what follows a product: a bias, an activation, a dropout mask, or backward of these. The number
// is in a register then, and would have to be fetched again by a kernel of its own.

#define TILE 64
#define SLICE 16
#define EACH_WAY 4  // a thread's part of the tile is 4 x 4

// Number i of the slice at k of a factor, as this thread loads it: rows of the tile along `along`,
// its depth along K. Neighbouring threads read neighbouring memory in either layout.
#define LOADED (TILE * SLICE / 256)

__device__ inline void load(real to[LOADED], const real *X, u64 X_row, bool depth_is_column,
                            u32 first, u32 size, u32 k, u32 k_end) {
    for (int i = 0; i < LOADED; ++i) {
        const u32 item = threadIdx.x + 256 * i;
        const u32 along = first + (depth_is_column ? item / SLICE : item % TILE);
        const u32 depth = k + (depth_is_column ? item % SLICE : item / TILE);
        const bool inside = along < size && depth < k_end;
        const u64 at = depth_is_column ? along * X_row + depth : depth * X_row + along;
        to[i] = inside ? X[at] : (real)0;
    }
}

__device__ inline void store(real shared[SLICE][TILE + 4], const real from[LOADED],
                             bool depth_is_column) {
    for (int i = 0; i < LOADED; ++i) {
        const u32 item = threadIdx.x + 256 * i;
        if (depth_is_column)
            shared[item % SLICE][item / SLICE] = from[i];
        else
            shared[item / TILE][item % TILE] = from[i];
    }
}

// A formula, and what else it reads (or writes, for the slope of elu): an array like C, or a row of
// N numbers for BIAS.
enum { NOTHING, BIAS, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, MULTIPLY, RELU_BACK, LEAKY_BACK,
       SIGMOID_BACK, TANH_BACK };

__device__ inline real apply(u32 formula, real *other, real number, real v, u64 at, u64 column) {
    switch (formula) {
        case BIAS: return v + other[column];
        case RELU: return relu_of(v);
        case LEAKY_RELU: return leaky_of(v, number);
        case ELU: return elu_of(v, number, other + at);
        case SIGMOID: return sigmoid_of(v);
        case TANH: return tanh(v);
        case MULTIPLY: return v * other[at];
        case RELU_BACK: return relu_back(v, other[at]);
        case LEAKY_BACK: return leaky_back(v, other[at], number);
        case SIGMOID_BACK: return sigmoid_back(v, other[at]);
        case TANH_BACK: return tanh_back(v, other[at]);
        default: return v;
    }
}

// A member's bias is bias_member after that of the one before.
#define FINISH(v, row, column)                                                                \
    do {                                                                                      \
        const u64 at = member * C_member + (row) * C_row + (column);                          \
        const u64 at_bias = member * bias_member + (column);                                  \
        real done = v;                                                                        \
        if (formula1) done = apply(formula1, other1, number1, done, at, at_bias);             \
        if (formula2) done = apply(formula2, other2, number2, done, at, at_bias);             \
        if (formula3) done = apply(formula3, other3, number3, done, at, at_bias);             \
        C[at] = done;                                                                         \
    } while (0)

KERNEL matmul(u32 M, u32 N, u32 K, const real *A, u64 A_row, u64 A_member, u32 transpose_A,
              const real *B, u64 B_row, u64 B_member, u32 transpose_B, real *C, u64 C_row,
              u64 C_member, u32 splits, real *partials, u32 *tickets, u32 formula1, real *other1,
              real number1, u32 formula2, real *other2, real number2, u32 formula3, real *other3,
              real number3, u64 bias_member) {
    __shared__ real a[SLICE][TILE + 4], b[SLICE][TILE + 4];  // 4 more: fewer bank conflicts
    __shared__ u32 finished;
    const u32 member = blockIdx.z / splits, split = blockIdx.z % splits;
    const u32 row = blockIdx.y * TILE, column = blockIdx.x * TILE;  // of the tile
    const u32 slices = (K + SLICE - 1) / SLICE, share = (slices + splits - 1) / splits * SLICE;
    const u32 k_begin = split * share, k_end = k_begin + share < K ? k_begin + share : K;
    const u32 y = threadIdx.x / 16 * EACH_WAY, x = threadIdx.x % 16 * EACH_WAY;  // in the tile
    A += member * A_member;
    B += member * B_member;

    real sum[EACH_WAY][EACH_WAY] = {};
    real next_a[LOADED], next_b[LOADED];
    load(next_a, A, A_row, !transpose_A, row, M, k_begin, k_end);
    load(next_b, B, B_row, transpose_B, column, N, k_begin, k_end);
    for (u32 k = k_begin; k < k_end; k += SLICE) {
        store(a, next_a, !transpose_A);
        store(b, next_b, transpose_B);
        __syncthreads();
        load(next_a, A, A_row, !transpose_A, row, M, k + SLICE, k_end);
        load(next_b, B, B_row, transpose_B, column, N, k + SLICE, k_end);
#pragma unroll
        for (int d = 0; d < SLICE; ++d)
            for (int i = 0; i < EACH_WAY; ++i)
                for (int j = 0; j < EACH_WAY; ++j) sum[i][j] += a[d][y + i] * b[d][x + j];
        __syncthreads();
    }

    if (splits == 1) {
        for (int i = 0; i < EACH_WAY; ++i)
            for (int j = 0; j < EACH_WAY; ++j)
                if (row + y + i < M && column + x + j < N)
                    FINISH(sum[i][j], row + y + i, column + x + j);
        return;
    }
    const u64 size = (u64)M * N, members = gridDim.z / splits;
    for (int i = 0; i < EACH_WAY; ++i)
        for (int j = 0; j < EACH_WAY; ++j)
            if (row + y + i < M && column + x + j < N)
                partials[(split * members + member) * size + (u64)(row + y + i) * N + column + x +
                         j] = sum[i][j];
    __threadfence();  // the parts are written before the ticket is drawn
    __syncthreads();
    u32 *ticket = tickets + (member * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    if (threadIdx.x == 0) finished = atomicAdd(ticket, 1);
    __syncthreads();
    if (finished != splits - 1) return;
    __threadfence();  // and seen by who drew the last one
    if (threadIdx.x == 0) *ticket = 0;  // for the next product
    for (int i = 0; i < EACH_WAY; ++i)
        for (int j = 0; j < EACH_WAY; ++j) {
            if (row + y + i >= M || column + x + j >= N) continue;
            const u64 at = (u64)(row + y + i) * N + column + x + j;
            real total = 0;
            for (u32 s = 0; s < splits; ++s) total += partials[(s * members + member) * size + at];
            FINISH(total, row + y + i, column + x + j);
        }
}
