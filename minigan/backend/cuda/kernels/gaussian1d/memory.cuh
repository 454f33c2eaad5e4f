// The whole training of the 1-D experiment in one kernel: many steps per launch, by one block.
//
// At these sizes a kernel for each operation costs more to launch than to compute. Here the block
// keeps both networks and all activations in its shared memory, and a step is a row of intervals
// with a barrier between them. It is the step of minigan/gan/gan.py, to rounding.
//
//     G    Linear(1, H)  ELU  Linear(H, H)  Sigmoid  Linear(H, 1)
//     D    [Pack(m)]  Linear(F, H)  f  Linear(H, H)  f  Linear(H, 1)  [Sigmoid]
//
// Matrices. A layer's weights and its bias lie together as one matrix W (inputs + 1, outputs),
// which is just how they lie in the flat buffer: the bias is the weight of an input that is always
// 1. So an activation (rows, H) is kept with a column of ones behind it, and Y = X W + b is one
// product. Rows are padded with zeros to a stride of four times an odd number: each row starts on
// a multiple of four, so numbers are loaded four at a time; and as the stride is odd in units of
// four, eight rows below each other start in eight different groups of four banks.
//
// Products. A thread computes a tile of 4 x 4 numbers in registers. Where there are too few tiles
// for the threads, their sums are split among several threads and added in a fixed order; so the
// result never depends on chance.
//
// Intervals of a step (R rows of noise: B for D's half, B for G's; P = B / m packs; X holds the
// real samples, the fake ones for D, the fake ones for G):
//
//     generate               h1 = f(Z W1)   h2 = g(h1 W2)   X = h2 w3   squared deviations
//     update_discriminator   h1 = f(X W1)   h2 = f(h1 W2)   y = h2 w3 and dy, of 2P packs
//                            dh2 = dy w3' f'(h2)   dW2 = h1' dh2   dh1 = dh2 W2' f'(h1)
//                            dW1 = X' dh1   Adam
//     update_generator       D: h1   h2   y and dy   dh2   dh1   dX = dh1 W1', of G's P packs
//                            G: dx from dX   dh2 = dx w3' g'(h2)   dW2   dh1   dW1   Adam
//
// (w3' is w3 transposed; f' and g' are slopes.) Where D has few rows, as with packs of 100 there
// are two, a gradient is not worth an interval: Adam sums it up where it needs it. The random
// numbers of the next step and the numbers of Adam's clock are computed during the largest product,
// by threads that it leaves idle.
//
// Memory. The host says where each piece of shared memory begins (`Sizes`, made by
// minigan/training/fused/memory.py). dh2 is written over h2, and dh1 over h1. The rows of G's h1
// that belong to D's half are not needed once the samples are made: they lie where D's
// activations come to lie. Adam's sums stay in global memory where they do not fit, and the moving
// average always does.
//
// This file has what the kernel is given, and the layout of its memory. Then come products.cuh
// (formulas, products, layers), updates.cuh (Adam, random numbers, data) and train.cu (the parts of
// a step, and the kernel).

const u32 THREADS = sizeof(real) == 4 ? 512 : 256;  // of the block, at most: for the registers

enum { ELU, LEAKY_RELU, SIGMOID };
enum { BCE, BCE_WITH_LOGITS, MEAN_SQUARED_ERROR };

// The sizes, and where the pieces of shared memory begin, in numbers from its start. The fields
// are filled by name: see `plan` in minigan/training/fused/memory.py.
struct Sizes {
    u32 hidden;      // H
    u32 stride;      // S > H, of a row of H numbers and a one
    u32 batch;       // B
    u32 noises;      // R = 2 B; or B, if both halves see the same noise
    u32 pack;        // m, the samples that D scores at once
    u32 deviations;  // whether their squared deviations come behind them
    u32 features;    // F, of D's input: m or 2 m
    u32 wide;        // SF > F, the stride of D's input
    u32 activation;  // f of D
    u32 loss;
    u32 few;         // whether Adam sums up D's gradients itself
    u32 room;        // numbers in `scratch`
    u32 total;       // numbers in all
    // pieces
    u32 g_weights;         // W1 (4, S), W2 (S, S), w3 (S)
    u32 d_weights;         // W1 (SF, S), W2 (S, S), w3 (S)
    u32 numbers;           // (2, 4) of G's step, of D's: see `tick_adam`; then 1 - d of G's average
    u32 noise;             // Z (R, 4): z, 1, 0, 0
    u32 samples;           // X (P + R / m, SF): real, fake for D, fake for G
    u32 means;             // (P + R / m) of the packs, if there are deviations
    u32 drawn;             // (R + B): the next step's noise and real samples
    u32 output_gradients;  // of D, dy (2 P); then of G, dx (B)
    u32 pack_gradients;    // dX (P, SF); over h2 of D if it is not larger
    u32 terms;             // (3 P) of the losses
    u32 dots;              // (max(R, 2P), S / 4): h2 w3 by tiles; then parts of w3's gradient
    u32 scratch;           // (room), sums that were split; at least (H + 1, S)
    u32 d_first;           // D's h1 (2P, S)
    u32 d_second;          // D's h2 (2P, S)
    u32 d_first_gradient;  // D's dh1 (2P, S); the same place as h1 unless `few`
    u32 g_first;           // G's h1 (R, S)
    u32 g_second;          // G's h2 (B, S), of G's half alone
    // Adam's sums, of G and of D; 0 where they are in global memory
    u32 g_g_sum, g_g2_sum, d_g_sum, d_g2_sum;
};

// Of one Adam; `decay` is that of its learning rate.
struct AdamNumbers {
    double beta1, beta2, eps, weight_decay, decay_start, decay_end, decay_last;
};

struct Numbers {
    double low, width;                                // of the noise
    double mean, std;                                 // of the real data
    double real_target, fake_target, generator_target;
    double sign;                                      // of G's loss: -1 in the minimax game
    double alpha;                                     // of G's ELU
    double d_alpha;                                   // of D's ELU, or the slope of its LeakyReLU
    double decay;                                     // of the moving average
    AdamNumbers adam[2];                              // G's, D's
};

// A random stream: its key, and its position before the first step of the launch.
struct StreamAt {
    u64 key0, key1, position;
};

// The block's shared memory. Pieces of it are known by their places, in numbers from the start.
extern __shared__ Four dynamic[];

__device__ inline real *shared(u32 place) { return (real *)dynamic + place; }

// Four numbers at once, which begin at a multiple of four. (Spelled so that the compiler sees it.)
__device__ inline Four four(u32 place) { return dynamic[place / 4]; }
__device__ inline void put(u32 place, const Four &x) { dynamic[place / 4] = x; }
