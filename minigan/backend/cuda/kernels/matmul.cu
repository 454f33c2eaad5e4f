// C (M, N) = A (M, K) B (K, N), either factor transposed on request, for each member.
//
// A block of 128 threads makes a tile of C, each thread 4 x 4 numbers of it in registers. It walks
// along K in slices of 16: while the threads multiply one slice from shared memory, the next one is
// on its way from global memory into registers. For 16 multiplications a thread reads eight numbers
// from shared memory, in two loads of four.
//
// The products of a GAN step are small for a large GPU: 100 x 256 numbers are only 32 tiles of
// 32 x 32. So there are two sizes of tiles. For 64 x 32 all threads walk along the whole of K. For
// 32 x 32 they are two groups, which share K between them and add their sums at the end.
//
// Where there are still few tiles, K is also split among several blocks (`splits`). Each leaves its
// part of the sum in `partials`. The block that finishes last, according to `tickets`, adds the
// parts in their order, so the result does not depend on which block that is.
//
// Before the numbers are stored, up to three formulas are applied to them. A replayed step uses
// that for what follows a product: a bias, an activation, a dropout mask, or backward of these. The
// numbers are in registers then. A kernel of its own would have to fetch them again.

#define MULTIPLIERS 128  // threads of a block
#define SLICE 16  // how deep a slice is along K
#define OWN 4  // a thread's part of the tile is OWN x OWN, in rows of a Four

// Blocks that a multiprocessor has room for, at least: this bounds the registers of a thread.
const u32 RESIDENT = 16 / sizeof(real);

// A slice of a factor in shared memory, by depth. Four numbers more in a row make fewer bank
// conflicts, and keep each row on a multiple of four.
template <u32 TILE>
struct Slice {
    Four fours[SLICE][TILE / 4 + 1];
};

// The shared memory of a block of one or two groups of threads. A group has two slices of each
// factor: one is read while the next is written.
template <u32 GROUPS>
struct Shared {
    static const u32 THREADS = MULTIPLIERS / GROUPS;    // of a group
    static const u32 DOWN = 64 / GROUPS, ACROSS = 32;  // the size of the tile
    Slice<DOWN> a[GROUPS][2];
    Slice<ACROSS> b[GROUPS][2];
    real sums[OWN * OWN][THREADS];  // of the second group
    u32 finished;
};

// A factor: numbers of a member, and the distance from row to row
struct Factor {
    const real *numbers;
    u64 row;
    bool transposed;
};

// How a thread loads its numbers of each slice of a factor. Neighbouring threads read neighbouring
// memory in either layout. All that does not change from slice to slice is computed once.
template <u32 TILE, u32 THREADS>
struct Reader {
    static const u32 LOADED = TILE * SLICE / THREADS;  // numbers of a slice that a thread loads
    static const u32 PITCH = TILE + 4;
    const real *from;  // this thread's first number of the slice that comes next
    u64 ahead;         // from there to that of the slice after it
    u64 step;          // and to the thread's next number of the same slice
    u32 along, along_step, size;  // where its numbers are along the tile; the factor ends at `size`
    u32 depth, depth_step, end;   // and along K; the group's share ends at `end`
    u32 first, first_step;        // and in shared memory

    __device__ Reader(const real *X, u64 row, bool depth_is_column, u32 tile, u32 size, u32 begin,
                      u32 end)
        : size(size), end(end) {
        const u32 t = threadIdx.x % THREADS;
        along = depth_is_column ? t / SLICE : t % TILE;
        depth = depth_is_column ? t % SLICE : t / TILE;
        along_step = depth_is_column ? THREADS / SLICE : 0;
        depth_step = depth_is_column ? 0 : THREADS / TILE;
        first = depth * PITCH + along;
        first_step = depth_step * PITCH + along_step;
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

    __device__ void store(Slice<TILE> &slice, const real numbers[LOADED]) const {
#pragma unroll
        for (u32 i = 0; i < LOADED; ++i) ((real *)slice.fours)[first + i * first_step] = numbers[i];
    }
};

#define EACH_OWN(i, j)                              \
    _Pragma("unroll") for (u32 i = 0; i < OWN; ++i) \
        _Pragma("unroll") for (u32 j = 0; j < OWN; ++j)

// A formula, and what else it reads: an array like C, or a row of N numbers for BIAS.
enum { NOTHING, BIAS, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, MULTIPLY, RELU_BACK, LEAKY_BACK,
       SIGMOID_BACK, TANH_BACK };
struct Formula {
    u32 kind;
    const real *other;
    real number;
};

// A thread's part of C: rows from y and columns from x on, as far as C goes.
struct Place {
    u32 y, x, M, N;
    u64 row;  // the distance between rows
    __device__ bool holds(u32 i, u32 j) const { return y + i < M && x + j < N; }
    __device__ u64 at(u32 i, u32 j) const { return (u64)(y + i) * row + x + j; }
};

#define TO_EACH(name, formula)                 \
    case name:                                 \
        EACH_OWN(i, j) {                       \
            const real v = sum[i][j];          \
            sum[i][j] = (formula);             \
        }                                      \
        break;
#define OTHER (place.holds(i, j) ? other[place.at(i, j)] : (real)0)

// Apply a formula to a thread's numbers. `other`, `bias` and `slope` are those of the member; elu
// writes `slope`.
__device__ inline void apply(Formula formula, const real *other, const real *bias, real *slope,
                             Place place, real sum[OWN][OWN]) {
    const real number = formula.number;
    switch (formula.kind) {
        TO_EACH(BIAS, v + (place.x + j < place.N ? bias[place.x + j] : (real)0))
        TO_EACH(RELU, relu_of(v))
        TO_EACH(LEAKY_RELU, leaky_of(v, number))
        TO_EACH(SIGMOID, sigmoid_of(v))
        TO_EACH(TANH, tanh(v))
        TO_EACH(MULTIPLY, v * OTHER)
        TO_EACH(RELU_BACK, relu_back(v, OTHER))
        TO_EACH(LEAKY_BACK, leaky_back(v, OTHER, number))
        TO_EACH(SIGMOID_BACK, sigmoid_back(v, OTHER))
        TO_EACH(TANH_BACK, tanh_back(v, OTHER))
        case ELU:
            EACH_OWN(i, j) {
                real kept;
                sum[i][j] = elu_of(sum[i][j], number, &kept);
                if (place.holds(i, j)) slope[place.at(i, j)] = kept;
            }
    }
}

template <u32 GROUPS>
__device__ inline void product(Shared<GROUPS> &shared, u32 M, u32 N, u32 K, Factor A, Factor B,
                               real *C, u64 C_row, u64 C_member, u32 splits, real *partials,
                               u32 *tickets, Formula formula1, Formula formula2, Formula formula3,
                               u64 bias_member, real *slope) {
    typedef Shared<GROUPS> S;
    const u32 members = gridDim.z / splits, member = blockIdx.z / splits;
    const u32 split = blockIdx.z % splits, group = threadIdx.x / S::THREADS;
    const u32 row = blockIdx.y * S::DOWN, column = blockIdx.x * S::ACROSS;  // of the tile
    const u32 slices = (K + SLICE - 1) / SLICE, shares = splits * GROUPS;
    const u32 share = (slices + shares - 1) / shares * SLICE;
    const u32 begin = (split * GROUPS + group) * share;
    const u32 end = begin + share < K ? begin + share : K;
    // A warp makes 16 x 32 numbers.
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x % S::THREADS / 32;
    const u32 y = (warp * 4 + lane / 8) * OWN, x = lane % 8 * OWN;

    real sum[OWN][OWN] = {};
    typedef Reader<S::DOWN, S::THREADS> ReaderOfA;
    typedef Reader<S::ACROSS, S::THREADS> ReaderOfB;
    ReaderOfA of_a(A.numbers, A.row, !A.transposed, row, M, begin, end);
    ReaderOfB of_b(B.numbers, B.row, B.transposed, column, N, begin, end);
    real next_a[ReaderOfA::LOADED], next_b[ReaderOfB::LOADED];
    of_a.load(next_a);
    of_b.load(next_b);
    for (u32 k = 0; k < share; k += SLICE) {
        Slice<S::DOWN> &a = shared.a[group][k / SLICE % 2];
        Slice<S::ACROSS> &b = shared.b[group][k / SLICE % 2];
        of_a.store(a, next_a);
        of_b.store(b, next_b);
        __syncthreads();
        of_a.load(next_a);
        of_b.load(next_b);
#pragma unroll
        for (u32 d = 0; d < SLICE; ++d) {
            const Four down = a.fours[d][y / 4], across = b.fours[d][x / 4];
            EACH_OWN(i, j) sum[i][j] += down.at[i] * across.at[j];
        }
    }
    if (GROUPS == 2) {
        if (group) EACH_OWN(i, j) shared.sums[i * OWN + j][threadIdx.x % S::THREADS] = sum[i][j];
        __syncthreads();
        if (!group) EACH_OWN(i, j) sum[i][j] += shared.sums[i * OWN + j][threadIdx.x];
    }
    if (splits > 1) {
        const Place place = {row + y, column + x, M, N, N};
        const u64 size = (u64)M * N;
        if (!group)
            EACH_OWN(i, j) if (place.holds(i, j))
                partials[(split * members + member) * size + place.at(i, j)] = sum[i][j];
        __threadfence();  // the parts are written before the ticket is drawn
        __syncthreads();
        u32 *ticket = tickets + (member * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        if (threadIdx.x == 0) shared.finished = atomicAdd(ticket, 1);
        __syncthreads();
        if (shared.finished != splits - 1) return;
        __threadfence();  // and seen by the block that drew the last one
        if (threadIdx.x == 0) *ticket = 0;  // for the next product
        EACH_OWN(i, j) sum[i][j] = 0;
        if (!group)
#pragma unroll 2
            for (u32 s = 0; s < splits; ++s) {
                const real *part = partials + (s * members + member) * size;
                EACH_OWN(i, j) if (place.holds(i, j)) sum[i][j] += part[place.at(i, j)];
            }
    }
    if (group) return;
    const Place place = {row + y, column + x, M, N, C_row};
#pragma unroll 1  // the code of the formulas is long
    for (u32 k = 1; k <= 3; ++k) {
        const Formula formula = k == 1 ? formula1 : k == 2 ? formula2 : formula3;
        // A member's bias is bias_member after that of the one before.
        apply(formula, formula.other + member * C_member, formula.other + member * bias_member,
              slope + member * C_member, place, sum);
    }
    EACH_OWN(i, j) if (place.holds(i, j)) C[member * C_member + place.at(i, j)] = sum[i][j];
}

#define MATMUL(name, GROUPS)                                                                    \
    KERNEL __launch_bounds__(MULTIPLIERS, RESIDENT) name(                                       \
        u32 M, u32 N, u32 K, const real *A, u64 A_row, u64 A_member, u32 transpose_A,           \
        const real *B, u64 B_row, u64 B_member, u32 transpose_B, real *C, u64 C_row, u64 C_member,\
        u32 splits, real *partials, u32 *tickets, u32 formula1, const real *other1, real number1,\
        u32 formula2, const real *other2, real number2, u32 formula3, const real *other3,       \
        real number3, u64 bias_member, real *slope) {                                           \
        __shared__ Shared<GROUPS> shared;                                                       \
        const u32 member = blockIdx.z / splits;                                                 \
        product<GROUPS>(shared, M, N, K, {A + member * A_member, A_row, transpose_A != 0},      \
                        {B + member * B_member, B_row, transpose_B != 0}, C, C_row, C_member,   \
                        splits, partials, tickets, {formula1, other1, number1},                 \
                        {formula2, other2, number2}, {formula3, other3, number3},               \
                        bias_member, slope);                                                    \
    }

MATMUL(matmul, 1)
MATMUL(matmul_small, 2)
