// The formulas of activations and losses; products; what the layers of both networks compute.

// -- formulas ------------------------------------------------------------------------------------

struct Activation {
    u32 kind;
    real alpha;

    __device__ real of(real x) const {
        if (kind == ELU) return x > 0 ? x : alpha * (exp(x) - 1);
        if (kind == LEAKY_RELU) return x > 0 ? x : alpha * x;
        return sigmoid_of(x);
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

// The loss of one of n outputs of D, whose target is t; `x` is what D's last layer computes.
struct Loss {
    real term, gradient;
};

__device__ __noinline__ Loss loss_of(u32 kind, real x, real t, real n) {
    if (kind == MEAN_SQUARED_ERROR) return {(x - t) * (x - t), (x - t) * (2 / n)};
    const real p = sigmoid_of(x);
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
__device__ __noinline__ u32 output_backward(const Sizes &n, u32 rows, Activation f, u32 w3, u32 dy,
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
__device__ __noinline__ void hidden_backward(const Sizes &n, u32 rows, Activation f, u32 dh2,
                                             u32 W2, u32 h1, u32 dh1, u32 room) {
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
__device__ __noinline__ void input_backward(const Sizes &n, u32 rows, u32 dh1, u32 W1, u32 dX) {
    const u32 tiles = n.wide / 4;
    product<true>(rows, n.stride, dh1, W1, n.stride, tiles, n.scratch, n.room,
                  [&](u32 row, u32 tile, const Four &sum) {
#pragma unroll
                      for (u32 v = 0; v < 4; ++v)
                          shared(dX)[row * n.wide + tile + v * tiles] = sum.at[v];
                  });
}
