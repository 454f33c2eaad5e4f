// The whole training of the 1-D experiment in one kernel: many steps a launch, by one block.
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
//     teach_discriminator    h1 = f(X W1)   h2 = f(h1 W2)   y = h2 w3 and dy, of 2P packs
//                            dh2 = dy w3' f'(h2)   dW2 = h1' dh2   dh1 = dh2 W2' f'(h1)
//                            dW1 = X' dh1   Adam
//     teach_generator        D: h1   h2   y and dy   dh2   dh1   dX = dh1 W1', of G's P packs
//                            G: dx from dX   dh2 = dx w3' g'(h2)   dW2   dh1   dW1   Adam
//
// (w3' is w3 transposed; f' and g' are slopes.) Where D has few rows, as with packs of 100 there
// are two, a gradient is not worth an interval: Adam sums it up where it needs it. The random
// numbers of the next step and the numbers of Adam's clock are made beside the largest product, by
// threads that it leaves idle.
//
// Memory. The host says where each piece of shared memory begins (`Sizes`, made by
// minigan/training/fused/memory.py). dh2 is written over h2, and dh1 over h1. The rows of G's h1
// that belong to D's half are not needed once the samples are made: they lie where D's
// activations come to lie. Adam's sums stay in global memory where they do not fit, and the moving
// average always does.

const u32 THREADS = sizeof(real) == 4 ? 512 : 256;  // of the block, at most: for the registers

enum { ELU, LEAKY_RELU, SIGMOID };
enum { BCE, BCE_WITH_LOGITS, MEAN_SQUARED_ERROR };

struct alignas(4 * sizeof(real)) Four {
    real at[4];
};

// The sizes, and where the pieces of shared memory begin, in numbers from its start. The fields
// and their order are those of `SIZES` and `PIECES` in minigan/training/fused/memory.py.
struct Sizes {
    u32 hidden;      // H
    u32 stride;      // S > H, of a row of H numbers and a one
    u32 batch;       // B
    u32 noises;      // R = 2 B; or B, if both halves see the same noise
    u32 pack;        // m, the samples that D judges at once
    u32 deviations;  // whether their squared deviations come behind them
    u32 features;    // F, of D's input: m or 2 m
    u32 wide;        // SF > F, the stride of D's input
    u32 activation;  // f of D
    u32 loss;
    u32 few;         // whether Adam sums up D's gradients itself
    u32 room;        // numbers in `scratch`
    u32 total;       // numbers in all
    // pieces
    u32 g_weights;   // W1 (4, S), W2 (S, S), w3 (S)
    u32 d_weights;   // W1 (SF, S), W2 (S, S), w3 (S)
    u32 numbers;     // (2, 4) of the step: [step, small, kept, fresh] of G, of D
    u32 noise;       // Z (R, 4): z, 1, 0, 0
    u32 samples;     // X (P + R / m, SF): real, fake for D, fake for G
    u32 means;       // (P + R / m) of the packs, if there are deviations
    u32 drawn;       // (R + B): the next step's noise and real samples
    u32 verdicts;    // dy (2 P); then dx (B) of G's samples
    u32 messages;    // dX (P, SF), to G; over h2 of D if it is not larger
    u32 terms;       // (3 P) of the losses
    u32 dots;        // (max(R, 2P), S / 4): h2 w3 by tiles; then parts of w3's gradient
    u32 scratch;     // (room), sums that were split; at least (H + 1, S)
    u32 d_first;     // D's h1 (2P, S)
    u32 d_second;    // D's h2 (2P, S)
    u32 d_message;   // D's dh1 (2P, S); the same place as h1 unless `few`
    u32 g_first;     // G's h1 (R, S)
    u32 g_second;    // G's h2 (B, S), of G's half alone
    u32 sums[4];     // Adam's: G's g_sum, g2_sum, D's g_sum, g2_sum; 0 where in global memory
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

// -- formulas ------------------------------------------------------------------------------------

// E / (1 + E) with E = exp(x), held below overflow
__device__ inline real logistic(real x) {
    const real E = exp(at_most(x, sizeof(real) == 4 ? 88 : 700));
    return E / (1 + E);
}

struct Activation {
    u32 kind;
    real alpha;

    __device__ real of(real x) const {
        if (kind == ELU) return x > 0 ? x : alpha * (exp(x) - 1);
        if (kind == LEAKY_RELU) return x > 0 ? x : alpha * x;
        return logistic(x);
    }

    // the slope where the output is y
    __device__ real slope(real y) const {
        if (kind == ELU) return y > 0 ? 1 : y + alpha;
        if (kind == LEAKY_RELU) return y > 0 ? 1 : alpha;
        return y * (1 - y);
    }
};

// f of four numbers. Like much here it is called and not inlined, so that it is there once: a step
// has to fit into the instruction cache.
__device__ __noinline__ Four activated(Activation f, Four x) {
    Four y;
    for (u32 u = 0; u < 4; ++u) y.at[u] = f.of(x.at[u]);
    return y;
}

// The loss of a verdict, one of n, whose target is t; `x` is what D's last layer says.
struct Loss {
    real term, gradient;
};

__device__ __noinline__ Loss loss_of(u32 kind, real x, real t, real n) {
    if (kind == MEAN_SQUARED_ERROR) return {(x - t) * (x - t), (x - t) * (2 / n)};
    const real p = logistic(x);
    if (kind == BCE_WITH_LOGITS)
        return {at_least(x, 0) - x * t + log1p(exp(-fabs(x))), (p - t) / n};
    const real variance = (1 - p) * p;
    return {-(t * at_least(log(p), -100) + (1 - t) * at_least(log(1 - p), -100)),
            (p - t) / (at_least(variance, (real)1e-12) * n) * variance};
}

// -- products ------------------------------------------------------------------------------------

// finish(row, tile, sums) for each row of A W and each of `tiles` tiles of four columns; or of
// A W', where W is `transposed`. A has `rows` rows of `stride` numbers, W has rows of S.
//
// A tile's columns are 4 tile + (0, 1, 2, 3); of W' they are tile + (0, 1, 2, 3) tiles, so that
// threads side by side read rows of W that lie below each other. The rows of a thread's tile are
// as far apart, for the same reason.
//
// With `room` for it in scratch, sums are split where a quarter of the threads would do all the
// work. There is a barrier then, between the last look at A and W and the first call of `finish`.
template <bool transposed, class Finish>
__device__ inline void product(u32 rows, u32 stride, u32 A, u32 W, u32 S, u32 tiles, u32 scratch,
                               u32 room, Finish finish) {
    const u32 depth = transposed ? S / 4 : stride / 4;  // of a sum, in fours
    const u32 down = (rows + 3) / 4, all = down * tiles;
    u32 splits = 1;
    if (4 * all <= blockDim.x) {
        splits = min(min(blockDim.x / all, (depth + 1) / 2), room / (rows * 4 * tiles));
        splits = max(splits, 1u);
    }
    for (u32 t = threadIdx.x; t < all * splits; t += blockDim.x) {
        const u32 split = t / all, first = t % all / tiles, tile = t % tiles;
        u32 row[4];  // where the rows of A begin
#pragma unroll
        for (u32 u = 0; u < 4; ++u)
            row[u] = A + min(first + u * down, rows - 1) * (transposed ? S : stride);
        Four sum[4] = {};
#pragma unroll 1
        for (u32 k = depth * split / splits; k < depth * (split + 1) / splits; ++k) {
            Four a[4];
#pragma unroll
            for (u32 u = 0; u < 4; ++u) a[u] = four(row[u] + 4 * k);
#pragma unroll
            for (u32 v = 0; v < 4; ++v) {
                const Four w = four(W + (transposed ? (tile + v * tiles) * S + 4 * k
                                                    : (4 * k + v) * S + 4 * tile));
#pragma unroll
                for (u32 u = 0; u < 4; ++u)
#pragma unroll
                    for (u32 i = 0; i < 4; ++i)
                        if (transposed)
                            sum[u].at[v] += a[u].at[i] * w.at[i];
                        else
                            sum[u].at[i] += a[u].at[v] * w.at[i];
            }
        }
#pragma unroll
        for (u32 u = 0; u < 4; ++u) {
            if (first + u * down >= rows) continue;
            if (splits == 1)
                finish(first + u * down, tile, sum[u]);
            else
                put(scratch + ((split * rows + first + u * down) * tiles + tile) * 4, sum[u]);
        }
    }
    if (splits == 1) return;
    __syncthreads();
    for (u32 t = threadIdx.x; t < rows * tiles; t += blockDim.x) {
        Four sum = {};
        for (u32 split = 0; split < splits; ++split) {
            const Four part = four(scratch + (split * rows * tiles + t) * 4);
            for (u32 i = 0; i < 4; ++i) sum.at[i] += part.at[i];
        }
        finish(t / tiles, t % tiles, sum);
    }
}

// parts (splits, inputs, S): parts of dW = A' dY, each the sum over some of the rows of A (rows,
// stride), whose first numbers are inputs, and of dY (rows, S). Returns how many parts there are.
__device__ __noinline__ u32 weight_gradient(u32 rows, u32 inputs, u32 stride, u32 A, u32 S, u32 dY,
                                            u32 parts, u32 room) {
    const u32 across = S / 4, all = (inputs + 3) / 4 * across;
    const u32 splits = max(min(min(blockDim.x / all, rows), room / (inputs * S)), 1u);
    for (u32 t = threadIdx.x; t < all * splits; t += blockDim.x) {
        const u32 split = t / all, i = t % all / across * 4, j = t % across * 4;
        Four sum[4] = {};
#pragma unroll 4
        for (u32 row = rows * split / splits; row < rows * (split + 1) / splits; ++row) {
            const Four a = four(A + row * stride + i), d = four(dY + row * S + j);
#pragma unroll
            for (u32 u = 0; u < 4; ++u)
#pragma unroll
                for (u32 v = 0; v < 4; ++v) sum[u].at[v] += a.at[u] * d.at[v];
        }
#pragma unroll
        for (u32 u = 0; u < 4; ++u)
            if (i + u < inputs) put(parts + (split * inputs + i + u) * S + j, sum[u]);
    }
    return splits;
}

// -- layers --------------------------------------------------------------------------------------

// Y (rows, S) = f(X W) of X (rows, stride), with a one behind each row of H. Rows before `from` are
// not kept. For the `last` hidden layer, also dots (rows, S / 4): of Y w3 what each tile of four
// columns adds to it, with w3 behind W.
__device__ __noinline__ void hidden_layer(const Sizes &n, u32 rows, u32 stride, u32 X, u32 W,
                                          Activation f, u32 Y, u32 from, bool last) {
    const u32 S = n.stride, H = n.hidden, tiles = S / 4;
    product<false>(rows, stride, X, W, S, tiles, n.scratch, n.room,
                   [&](u32 row, u32 tile, const Four &sum) {
                       Four y = activated(f, sum);
                       if (4 * tile + 3 >= H)
#pragma unroll
                           for (u32 u = 0; u < 4; ++u)
                               if (4 * tile + u >= H) y.at[u] = 4 * tile + u == H;
                       if (row >= from) put(Y + (row - from) * S + 4 * tile, y);
                       if (!last) return;
                       const Four w = four(W + S * S + 4 * tile);
                       real dot = 0;
#pragma unroll
                       for (u32 u = 0; u < 4; ++u) dot += y.at[u] * w.at[u];
                       shared(n.dots)[row * tiles + tile] = dot;
                   });
}

// The last layer's output for a row.
__device__ inline real output_of(const Sizes &n, u32 row) {
    real sum = 0;
    for (u32 tile = 0; tile < n.stride / 4; ++tile)
        sum += shared(n.dots)[row * (n.stride / 4) + tile];
    return sum;
}

// totals (2, 3): a loss of the step is added to the first row, and counted in the second if the sum
// is finite; D's loss on real data, on fake data, G's.
__device__ inline void record_loss(const Sizes &n, u32 which, double *totals) {
    const u32 P = n.batch / n.pack;
    real sum = 0;
    for (u32 row = 0; row < P; ++row) sum += shared(n.terms)[which * P + row];
    totals[which] += sum * (1 / (real)P);
    if (isfinite(totals[which])) totals[3 + which] += 1;
}

// dh2 = dy w3' f'(h2), over h2 (rows, S). With `learn`, also dots (groups, S): of dw3 = h2' dy the
// sums over every groups-th row. Returns how many groups there are, at most a quarter of the rows.
__device__ __noinline__ u32 output_message(const Sizes &n, u32 rows, Activation f, u32 w3, u32 dy,
                                           u32 h2, bool learn) {
    const u32 S = n.stride, tiles = S / 4;
    const u32 groups = max(min(blockDim.x / tiles, rows / 4), 1u);
    for (u32 t = threadIdx.x; t < groups * tiles; t += blockDim.x) {
        const u32 group = t / tiles, j = t % tiles * 4;
        const Four w = four(w3 + j);
        Four sum = {};
        for (u32 row = group; row < rows; row += groups) {
            const real d = shared(dy)[row];
            Four h = four(h2 + row * S + j);
#pragma unroll
            for (u32 u = 0; u < 4; ++u) {
                sum.at[u] += h.at[u] * d;
                h.at[u] = d * w.at[u] * f.slope(h.at[u]);
            }
            put(h2 + row * S + j, h);
        }
        if (learn) put(n.dots + group * S + j, sum);
    }
    return groups;
}

// dh1 (rows, S) = dh2 W2' f'(h1); it may be the place of h1
__device__ __noinline__ void hidden_message(const Sizes &n, u32 rows, Activation f, u32 dh2, u32 W2,
                                            u32 h1, u32 dh1, u32 room) {
    const u32 S = n.stride, tiles = S / 4;
    product<true>(rows, S, dh2, W2, S, tiles, n.scratch, room,
                  [&](u32 row, u32 tile, const Four &sum) {
#pragma unroll
                      for (u32 v = 0; v < 4; ++v) {
                          const u32 k = row * S + tile + v * tiles;
                          if (tile + v * tiles < n.hidden)
                              shared(dh1)[k] = sum.at[v] * f.slope(shared(h1)[k]);
                      }
                  });
}

// dX (rows, SF) = dh1 W1'
__device__ __noinline__ void input_message(const Sizes &n, u32 rows, u32 dh1, u32 W1, u32 dX) {
    const u32 tiles = n.wide / 4;
    product<true>(rows, n.stride, dh1, W1, n.stride, tiles, n.scratch, n.room,
                  [&](u32 row, u32 tile, const Four &sum) {
#pragma unroll
                      for (u32 v = 0; v < 4; ++v)
                          shared(dX)[row * n.wide + tile + v * tiles] = sum.at[v];
                  });
}

// -- Adam ----------------------------------------------------------------------------------------

// The clock moves on; numbers (3) = [step, small, kept]. See `adam` in optimizers.cu.
__device__ __noinline__ void tick_adam(double *clock, const AdamNumbers &s, u32 numbers) {
    const double done = clock[0], t = done + 1;
    double factor = 1;
    if (done >= s.decay_end)
        factor = s.decay_last;
    else if (done > s.decay_start)
        factor = 1 - (1 - s.decay_last) * (done - s.decay_start) / (s.decay_end - s.decay_start);
    const double rate = clock[1] * factor;
    const double root = sqrt((1 - s.beta2) / (1 - pow(s.beta2, t)));
    clock[0] = t;
    clock[2] = rate;
    shared(numbers)[0] = (real)(rate / root * (1 - s.beta1) / (1 - pow(s.beta1, t)));
    shared(numbers)[1] = (real)(s.eps / root);
    shared(numbers)[2] = (real)(1 - rate * s.weight_decay);
}

// The average's clock moves on; returns 1 - d. See `moving_average` in optimizers.cu.
__device__ inline real tick_average(double *clock, double decay) {
    const double t = clock[0], rising = (1 + t) / (10 + t);
    clock[0] = t + 1;
    return (real)(1 - (rising < decay ? rising : decay));
}

// Where a matrix of weights lies, with its bias.
struct Weights {
    u32 W;                      // (rows, columns)
    u32 rows, columns, stride;
    u32 flat;                   // where it begins in the flat buffers
};

// The gradient of W[i][j], a sum over k < terms: of a[k][i] b[k][j]; or of a[k][i][j], where there
// is no b (its stride is 0), with i and j as far apart as in W.
struct Gradient {
    u32 terms, a, a_stride, b, b_stride;

    __device__ real of(u32 i, u32 j, u32 k) const {
        real sum = 0;
        if (b_stride) {
            for (u32 term = 0; term < terms; ++term)
                sum += shared(a)[term * a_stride + i] * shared(b)[term * b_stride + j];
        } else {
#pragma unroll 4
            for (u32 term = 0; term < terms; ++term) sum += shared(a)[term * a_stride + k];
        }
        return sum;
    }
};

// The flat buffers (n,) that an update changes along with the weights, in shared or global memory.
struct Flat {
    real *g_sum, *g2_sum;
    real *average;  // of G's weights, or null
    real *grad;     // for the gradient, or null before the last step of a launch
};

__device__ inline real *shared_or(u32 place, real *global) {
    return place ? shared(place) : global;
}

// A thread takes four weights at a time, so that it waits for global memory once for all of them.
__device__ __noinline__ void adam(const AdamNumbers &s, u32 numbers, Flat flat, Weights w,
                                  Gradient gradient) {
    const real step = shared(numbers)[0], small = shared(numbers)[1], kept = shared(numbers)[2];
    const real fresh = shared(numbers)[3], beta1 = (real)s.beta1, beta2 = (real)s.beta2;
    const u32 n = w.rows * w.columns;
    const u32 down = blockDim.x / w.columns, right = blockDim.x % w.columns;
    u32 i = threadIdx.x / w.columns, j = threadIdx.x % w.columns;  // the next weight
    for (u32 first = threadIdx.x; first < n; first += 4 * blockDim.x) {
        u32 place[4];  // from the start of W
        real g[4], m[4], v[4], average[4];
#pragma unroll
        for (u32 u = 0; u < 4; ++u) {
            const u32 k = first + u * blockDim.x;
            if (k >= n) break;
            place[u] = i * w.stride + j;
            m[u] = beta1 != 0 ? flat.g_sum[w.flat + k] : 0;
            v[u] = flat.g2_sum[w.flat + k];
            average[u] = flat.average ? flat.average[w.flat + k] : 0;
            g[u] = gradient.of(i, j, place[u]);
            i += down;
            j += right;
            if (j >= w.columns) {
                j -= w.columns;
                ++i;
            }
        }
#pragma unroll
        for (u32 u = 0; u < 4; ++u) {
            const u32 k = first + u * blockDim.x;
            if (k >= n) break;
            m[u] = beta1 * m[u] + g[u];
            v[u] = beta2 * v[u] + g[u] * g[u];
            real *const weight = shared(w.W) + place[u];
            *weight = *weight * kept - step * (m[u] / (sqrt(v[u]) + small));
            if (flat.grad) flat.grad[w.flat + k] = g[u];
            if (beta1 != 0) flat.g_sum[w.flat + k] = m[u];
            flat.g2_sum[w.flat + k] = v[u];
            if (flat.average)
                flat.average[w.flat + k] = average[u] + (*weight - average[u]) * fresh;
        }
    }
}

// -- random numbers and data ---------------------------------------------------------------------

// drawn = R noises and B real samples of a step. Clerk c of many draws a pair of normal numbers, or
// eight uniform ones; see random.cu.
__device__ __noinline__ void draw(u32 clerk, u32 clerks, u32 step, const Sizes &n,
                                  const Numbers &s, const StreamAt *streams) {
    const u32 B = n.batch, blocks = (B + 7) / 8, pairs = (B + 1) / 2, fills = n.noises / B;
    real *const noise = shared(n.drawn), *const normal = noise + n.noises;  // (R), (B)
    for (u32 item = clerk; item < pairs + fills * blocks; item += clerks) {
        const bool uniform = item >= pairs;
        const u32 fill = uniform ? (item - pairs) / blocks : 0;
        const u32 b = uniform ? (item - pairs) % blocks : item / 4;
        const StreamAt &from = streams[uniform ? 1 + fill : 0];
        const Block block = philox(from.key0, from.key1, from.position + (u64)step * blocks + b);
        if (uniform) {
            for (u32 k = 0; k < 8 && 8 * b + k < B; ++k)
                noise[fill * B + 8 * b + k] =
                    (real)uniform_of(block, k) * (real)s.width + (real)s.low;
        } else {
            const u32 k = item % 4 * 2;
            const real r = sqrt((real)-2 * log((real)1 - (real)uniform_of(block, k)));
            const real a = (real)6.283185307179586 * (real)uniform_of(block, k + 1);
            normal[2 * item] = r * cos(a) * (real)s.std + (real)s.mean;
            if (2 * item + 1 < B) normal[2 * item + 1] = r * sin(a) * (real)s.std + (real)s.mean;
        }
    }
}

// What was drawn goes where the step expects it: Z and the real packs of X.
__device__ inline void lay_out(const Sizes &n) {
    for (u32 i = threadIdx.x; i < n.noises + n.batch; i += blockDim.x) {
        const u32 sample = i - n.noises;
        if (i < n.noises)
            shared(n.noise)[4 * i] = shared(n.drawn)[i];
        else
            shared(n.samples)[sample / n.pack * n.wide + sample % n.pack] = shared(n.drawn)[i];
    }
}

// The sum of n numbers that begin at a multiple of four.
__device__ inline real sum_of(u32 x, u32 n) {
    Four sum = {};
    for (u32 k = 0; k < n / 4; ++k)
        for (u32 u = 0; u < 4; ++u) sum.at[u] += four(x + 4 * k).at[u];
    for (u32 k = n / 4 * 4; k < n; ++k) sum.at[0] += shared(x)[k];
    return (sum.at[0] + sum.at[1]) + (sum.at[2] + sum.at[3]);
}

// The squared deviations from its mean, behind each of so many packs.
__device__ inline void deviate(const Sizes &n, u32 packs) {
    for (u32 i = threadIdx.x; i < packs * n.pack; i += blockDim.x) {
        const u32 pack = n.samples + i / n.pack * n.wide;
        real *const x = shared(pack) + i % n.pack;
        const real mean = sum_of(pack, n.pack) * (1 / (real)n.pack);
        x[n.pack] = (*x - mean) * (*x - mean);
        shared(n.means)[i / n.pack] = mean;
    }
}

// dx (B) of G's samples from the message dX to their packs, the first of which is number `first`;
// a sample's squared deviation brings news of it, too, the mean held constant.
__device__ inline void unpack(const Sizes &n, u32 first, u32 dX, u32 dx) {
    for (u32 r = threadIdx.x; r < n.batch; r += blockDim.x) {
        const u32 pack = r / n.pack, i = r % n.pack;
        const real *const d = shared(dX) + pack * n.wide + i;
        const real x = shared(n.samples)[(first + pack) * n.wide + i];
        const real *const mean = shared(n.means) + first + pack;
        shared(dx)[r] = n.deviations ? d[n.pack] * ((x - *mean) * 2) + d[0] : d[0];
    }
}

// -- the three parts of a step -------------------------------------------------------------------

// Where the weights of a network lie: its first input has `inputs` numbers and a one, `wide` apart.
struct Layers {
    Weights first, second, third;

    __device__ Layers(const Sizes &n, u32 weights, u32 inputs, u32 wide) {
        const u32 H = n.hidden, S = n.stride;
        first = {weights, inputs + 1, H, S, 0};
        second = {weights + wide * S, H + 1, H, S, first.rows * H};
        third = {second.W + S * S, H + 1, 1, 1, second.flat + second.rows * H};
    }
};

__device__ inline Layers layers_of_G(const Sizes &n) { return Layers(n, n.g_weights, 1, 4); }
__device__ inline Layers layers_of_D(const Sizes &n) {
    return Layers(n, n.d_weights, n.features, n.wide);
}
__device__ inline Activation activation_of_D(const Sizes &n, const Numbers &s) {
    return {n.activation, (real)s.d_alpha};
}

// G makes the samples of both halves. Beside that the clocks move on and, if there is one more
// step, its random numbers are drawn: by the last threads, whom the product leaves idle first.
__device__ __noinline__ void generate(const Sizes &n, const Numbers &s, double *g_clock,
                                      double *d_clock, double *average_clock,
                                      const StreamAt *streams, u32 step, bool more) {
    const u32 R = n.noises, P = n.batch / n.pack;
    const Layers G = layers_of_G(n);
    hidden_layer(n, R, 4, n.noise, G.first.W, {ELU, (real)s.alpha}, n.g_first, 0, false);
    __syncthreads();
    const u32 clerk = blockDim.x - 1 - threadIdx.x;
    if (clerk == 0) {
        tick_adam(g_clock, s.adam[0], n.numbers);
        if (average_clock) shared(n.numbers)[3] = tick_average(average_clock, s.decay);
    } else if (clerk == 32) {
        tick_adam(d_clock, s.adam[1], n.numbers + 4);
    } else if (clerk >= 64 && more) {
        draw(clerk - 64, blockDim.x - 64, step + 1, n, s, streams);
    }
    hidden_layer(n, R, n.stride, n.g_first, G.second.W, {SIGMOID, 0}, n.g_second, R - n.batch,
                 true);
    __syncthreads();
    for (u32 r = threadIdx.x; r < R; r += blockDim.x)
        shared(n.samples)[(P + r / n.pack) * n.wide + r % n.pack] = output_of(n, r);
    __syncthreads();
    if (n.deviations) {
        deviate(n, P + R / n.pack);
        __syncthreads();
    }
}

// D judges so many packs of X: what its layers make of them, and the gradient dy of the loss.
__device__ __noinline__ void judge(const Sizes &n, const Numbers &s, u32 packs, u32 X,
                                   real real_target, real fake_target, real sign, u32 terms) {
    const Layers D = layers_of_D(n);
    const Activation f = activation_of_D(n, s);
    hidden_layer(n, packs, n.wide, X, D.first.W, f, n.d_first, 0, false);
    __syncthreads();
    hidden_layer(n, packs, n.stride, n.d_first, D.second.W, f, n.d_second, 0, true);
    __syncthreads();
    const u32 P = n.batch / n.pack;
    for (u32 row = threadIdx.x; row < packs; row += blockDim.x) {
        const real target = row < P ? real_target : fake_target;
        const Loss loss = loss_of(n.loss, output_of(n, row), target, P);
        shared(terms)[row] = sign * loss.term;
        shared(n.verdicts)[row] = sign * loss.gradient;
    }
    __syncthreads();
}

// D's half: D learns from the real packs and the fake ones.
__device__ __noinline__ void teach_discriminator(const Sizes &n, const Numbers &s, real *g_sum,
                                                 real *g2_sum, real *grad) {
    const Flat flat = {shared_or(n.sums[2], g_sum), shared_or(n.sums[3], g2_sum), nullptr, grad};
    const u32 rows = 2 * (n.batch / n.pack), H = n.hidden, S = n.stride, F = n.features;
    const u32 X = n.samples, h1 = n.d_first, h2 = n.d_second, dh1 = n.d_message;
    const u32 numbers = n.numbers + 4;
    const Layers D = layers_of_D(n);
    const Activation f = activation_of_D(n, s);
    judge(n, s, rows, X, (real)s.real_target, (real)s.fake_target, 1, n.terms);
    const u32 groups = output_message(n, rows, f, D.third.W, n.verdicts, h2, true);
    __syncthreads();
    u32 parts = 0;
    if (!n.few) {
        parts = weight_gradient(rows, H + 1, S, h1, S, h2, n.scratch, n.room);
        __syncthreads();
    }
    hidden_message(n, rows, f, h2, D.second.W, h1, dh1, n.few ? n.room : 0);
    __syncthreads();
    adam(s.adam[1], numbers, flat, D.third, {groups, n.dots, S, 0, 0});
    if (n.few) {
        adam(s.adam[1], numbers, flat, D.second, {rows, h1, S, h2, S});
        adam(s.adam[1], numbers, flat, D.first, {rows, X, n.wide, dh1, S});
    } else {
        adam(s.adam[1], numbers, flat, D.second, {parts, n.scratch, (H + 1) * S, 0, 0});
        // h2 has done its duty: there is room for the parts
        parts = weight_gradient(rows, F + 1, n.wide, X, S, dh1, h2, rows * S);
        __syncthreads();
        adam(s.adam[1], numbers, flat, D.first, {parts, h2, (F + 1) * S, 0, 0});
    }
    __syncthreads();
}

// G's half: D judges G's packs and tells G what would have been more real; G learns from that.
__device__ __noinline__ void teach_generator(const Sizes &n, const Numbers &s, real *g_sum,
                                             real *g2_sum, real *average, real *grad,
                                             double *totals) {
    const Flat flat = {shared_or(n.sums[0], g_sum), shared_or(n.sums[1], g2_sum), average, grad};
    const u32 B = n.batch, P = B / n.pack, H = n.hidden, S = n.stride;
    const u32 first = n.noises / n.pack;  // of G's packs in X
    const u32 half = n.noises - B;        // of its rows in Z and h1
    const Layers D = layers_of_D(n), G = layers_of_G(n);
    const Activation f = activation_of_D(n, s);
    judge(n, s, P, n.samples + first * n.wide, (real)s.generator_target, 0, (real)s.sign,
          n.terms + 2 * P);
    output_message(n, P, f, D.third.W, n.verdicts, n.d_second, false);
    __syncthreads();
    hidden_message(n, P, f, n.d_second, D.second.W, n.d_first, n.d_message, n.room);
    __syncthreads();
    input_message(n, P, n.d_message, D.first.W, n.messages);
    __syncthreads();
    unpack(n, first, n.messages, n.verdicts);
    __syncthreads();

    const u32 Z = n.noise + half * 4, h1 = n.g_first + half * S, h2 = n.g_second;
    const u32 groups = output_message(n, B, {SIGMOID, 0}, G.third.W, n.verdicts, h2, true);
    __syncthreads();
    const u32 clerk = blockDim.x - 1 - threadIdx.x;  // the last threads have no tile to sum up
    if (clerk < 3) record_loss(n, clerk, totals);
    const u32 parts = weight_gradient(B, H + 1, S, h1, S, h2, n.scratch, n.room);
    __syncthreads();
    hidden_message(n, B, {ELU, (real)s.alpha}, h2, G.second.W, h1, h1, 0);
    __syncthreads();
    const u32 firsts = weight_gradient(B, 2, 4, Z, S, h1, h2, B * S);
    adam(s.adam[0], n.numbers, flat, G.third, {groups, n.dots, S, 0, 0});
    adam(s.adam[0], n.numbers, flat, G.second, {parts, n.scratch, (H + 1) * S, 0, 0});
    __syncthreads();
    adam(s.adam[0], n.numbers, flat, G.first, {firsts, h2, 2 * S, 0, 0});
}

// -- the kernel ----------------------------------------------------------------------------------

// each(k, place): number k of a network's flat buffer, and its place among the padded weights
template <class Each>
__device__ inline void each_weight(const Layers &layers, Each each) {
    const Weights all[3] = {layers.first, layers.second, layers.third};
    for (const Weights &w : all)
        for (u32 k = threadIdx.x; k < w.rows * w.columns; k += blockDim.x)
            each(w.flat + k, w.W + k / w.columns * w.stride + k % w.columns);
}

// Weights (n,) into shared memory, and Adam's sums where they have a place; or `back`.
__device__ __noinline__ void carry(const Layers &layers, real *data, real *g_sum, real *g2_sum,
                                   u32 g_place, u32 g2_place, bool back) {
    each_weight(layers, [&](u32 k, u32 place) {
        if (back) {
            data[k] = shared(place)[0];
            if (g_place) g_sum[k] = shared(g_place)[k];
            if (g2_place) g2_sum[k] = shared(g2_place)[k];
        } else {
            shared(place)[0] = data[k];
            if (g_place) shared(g_place)[k] = g_sum[k];
            if (g2_place) shared(g2_place)[k] = g2_sum[k];
        }
    });
}

// Train for so many steps. Of the arrays in global memory the clocks, the average, the totals and
// Adam's sums without a place are changed at each step, the others at the end; the gradients are
// those of the last step.
KERNEL __launch_bounds__(THREADS)
    train_gaussian1d(u32 steps, const u32 *__restrict__ sizes,
                     const double *__restrict__ settings, const u64 *__restrict__ streams,
                     real *g_data, real *g_grad, real *g_g_sum, real *g_g2_sum, double *g_clock,
                     real *d_data, real *d_grad, real *d_g_sum, real *d_g2_sum, double *d_clock,
                     real *average, double *average_clock, double *totals) {
    const Sizes &n = *(const Sizes *)sizes;
    const Numbers &s = *(const Numbers *)settings;
    const StreamAt *const from = (const StreamAt *)streams;
    const u32 packs = (n.batch + n.noises) / n.pack;

    for (u32 i = threadIdx.x; i < n.total / 4; i += blockDim.x) dynamic[i] = Four{};
    __syncthreads();
    carry(layers_of_G(n), g_data, g_g_sum, g_g2_sum, n.sums[0], n.sums[1], false);
    carry(layers_of_D(n), d_data, d_g_sum, d_g2_sum, n.sums[2], n.sums[3], false);
    for (u32 r = threadIdx.x; r < n.noises; r += blockDim.x) shared(n.noise)[4 * r + 1] = 1;
    for (u32 p = threadIdx.x; p < packs; p += blockDim.x)
        shared(n.samples)[p * n.wide + n.features] = 1;
    draw(threadIdx.x, blockDim.x, 0, n, s, from);
    __syncthreads();

    for (u32 step = 0; step < steps; ++step) {
        lay_out(n);
        __syncthreads();
        generate(n, s, g_clock, d_clock, average_clock, from, step, step + 1 < steps);
        const bool last = step + 1 == steps;
        teach_discriminator(n, s, d_g_sum, d_g2_sum, last ? d_grad : nullptr);
        teach_generator(n, s, g_g_sum, g_g2_sum, average, last ? g_grad : nullptr, totals);
    }

    __syncthreads();
    carry(layers_of_G(n), g_data, g_g_sum, g_g2_sum, n.sums[0], n.sums[1], true);
    carry(layers_of_D(n), d_data, d_g_sum, d_g2_sum, n.sums[2], n.sums[3], true);
}
