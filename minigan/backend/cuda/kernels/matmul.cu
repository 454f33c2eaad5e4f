// C (M, N) = A (M, K) B (K, N), either factor transposed on request, for each member.
//
// A block of 128 threads makes a tile of 64 x 64 numbers of C, each thread 8 x 4 of them in
// registers. It walks along K in slices of 16: while the threads multiply one slice from shared
// memory, the next one is on its way from global memory into registers. For 32 multiplications a
// thread reads twelve numbers from shared memory, in three loads of four.
//
// The products of a GAN step are small: a tile of 64 x 64 leaves most of a large GPU idle. So K is
// split among several blocks (`splits`), each of which leaves its part of the sum in `partials`;
// the block that finishes last, according to `tickets`, adds the parts in their order, so the
// result does not depend on which block that is.
//
// Before a number is stored, up to three formulas are applied to it. A replayed step uses that for
// what follows a product: a bias, an activation, a dropout mask, or backward of these. The number
// is in a register then, and would have to be fetched again by a kernel of its own.

#define TILE 64
#define SLICE 16
#define MULTIPLIERS 128  // threads of a block
#define DOWN 8           // a thread's part of the tile: rows y to y + 3 and y + 32 to y + 35,
#define ACROSS 4         // columns x to x + 3
#define LOADED (TILE * SLICE / MULTIPLIERS)  // numbers of a slice that a thread loads

// A row of a slice in shared memory. Four numbers more make fewer bank conflicts, and keep each
// row on a multiple of four.
struct alignas(4 * sizeof(real)) Line {
    real at[TILE + 4];
};

// Four numbers that are loaded as one.
struct alignas(4 * sizeof(real)) Four {
    real at[4];
};

__device__ inline const Four &four(const real *p) { return *(const Four *)p; }

// How a thread loads its numbers of each slice of a factor. Neighbouring threads read neighbouring
// memory in either layout. All that does not change from slice to slice is computed once.
struct Reader {
    const real *from;  // this thread's first number of the slice that comes next
    u64 ahead;         // from there to that of the slice after it
    u64 step;          // and to the thread's next number of the same slice
    u32 along, along_step, size;  // where its numbers are along the tile; the factor ends at `size`
    u32 depth, depth_step, end;   // and along K; the block's share ends at `end`
    u32 first, first_step;        // and in shared memory

    __device__ Reader(const real *X, u64 row, bool depth_is_column, u32 tile, u32 size, u32 begin,
                      u32 end)
        : size(size), end(end) {
        const u32 t = threadIdx.x;
        along = depth_is_column ? t / SLICE : t % TILE;
        depth = depth_is_column ? t % SLICE : t / TILE;
        along_step = depth_is_column ? MULTIPLIERS / SLICE : 0;
        depth_step = depth_is_column ? 0 : MULTIPLIERS / TILE;
        first = depth * (TILE + 4) + along;
        first_step = depth_step * (TILE + 4) + along_step;
        along += tile;
        depth += begin;
        from = X + (depth_is_column ? along * row + depth : depth * row + along);
        ahead = depth_is_column ? SLICE : SLICE * row;
        step = depth_is_column ? along_step * row : depth_step * row;
    }

    __device__ void load(real to[LOADED]) {
#pragma unroll
        for (u32 i = 0; i < LOADED; ++i) {
            const bool inside = along + i * along_step < size && depth + i * depth_step < end;
            to[i] = inside ? from[i * step] : (real)0;
        }
        from += ahead;
        depth += SLICE;
    }

    __device__ void store(Line *shared, const real numbers[LOADED]) const {
#pragma unroll
        for (u32 i = 0; i < LOADED; ++i) ((real *)shared)[first + i * first_step] = numbers[i];
    }
};

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
    __shared__ Line a[SLICE], b[SLICE];
    __shared__ u32 finished;
    const u32 member = blockIdx.z / splits, split = blockIdx.z % splits;
    const u32 row = blockIdx.y * TILE, column = blockIdx.x * TILE;  // of the tile
    const u32 slices = (K + SLICE - 1) / SLICE, share = (slices + splits - 1) / splits * SLICE;
    const u32 k_begin = split * share, k_end = k_begin + share < K ? k_begin + share : K;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;  // a warp makes 32 of 4 x 8 parts
    const u32 y = (warp / 2 * 4 + lane / 8) * 4, x = (warp % 2 * 8 + lane % 8) * ACROSS;
    A += member * A_member;
    B += member * B_member;

    real sum[DOWN][ACROSS] = {};
    real next_a[LOADED], next_b[LOADED];
    Reader of_a(A, A_row, !transpose_A, row, M, k_begin, k_end);
    Reader of_b(B, B_row, transpose_B, column, N, k_begin, k_end);
    of_a.load(next_a);
    of_b.load(next_b);
    for (u32 k = k_begin; k < k_end; k += SLICE) {
        of_a.store(a, next_a);
        of_b.store(b, next_b);
        __syncthreads();
        of_a.load(next_a);
        of_b.load(next_b);
#pragma unroll
        for (int d = 0; d < SLICE; ++d) {
            const Four above = four(a[d].at + y), below = four(a[d].at + y + TILE / 2);
            const Four across = four(b[d].at + x);
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < ACROSS; ++j) {
                    sum[i][j] += above.at[i] * across.at[j];
                    sum[4 + i][j] += below.at[i] * across.at[j];
                }
        }
        __syncthreads();
    }

    const u64 size = (u64)M * N, members = gridDim.z / splits;
#define EACH_OWN(i, j)                                                                        \
    for (u32 i = 0; i < DOWN; ++i)                                                            \
        for (u32 j = 0; j < ACROSS; ++j)                                                      \
            if (row + OWN_ROW(i) < M && column + x + j < N)
#define OWN_ROW(i) (y + (i) + (i) / 4 * (TILE / 2 - 4))
    if (splits > 1) {
#pragma unroll
        EACH_OWN(i, j)
            partials[(split * members + member) * size + (u64)(row + OWN_ROW(i)) * N + column + x +
                     j] = sum[i][j];
        __threadfence();  // the parts are written before the ticket is drawn
        __syncthreads();
        u32 *ticket = tickets + (member * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        if (threadIdx.x == 0) finished = atomicAdd(ticket, 1);
        __syncthreads();
        if (finished != splits - 1) return;
        __threadfence();  // and seen by the block that drew the last one
        if (threadIdx.x == 0) *ticket = 0;  // for the next product
#pragma unroll
        EACH_OWN(i, j) sum[i][j] = 0;
        for (u32 s = 0; s < splits; ++s) {
            const real *part = partials + (s * members + member) * size;
#pragma unroll
            EACH_OWN(i, j) sum[i][j] += part[(u64)(row + OWN_ROW(i)) * N + column + x + j];
        }
    }
    real made[DOWN][ACROSS];  // a copy, so that the loop below may count without being unrolled
#pragma unroll
    for (u32 i = 0; i < DOWN; ++i)
        for (u32 j = 0; j < ACROSS; ++j) made[i][j] = sum[i][j];
#pragma unroll 1
    EACH_OWN(i, j) FINISH(made[i][j], row + OWN_ROW(i), column + x + j);
}
