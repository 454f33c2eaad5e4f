// What changes from step to step: the weights, by Adam, and the random numbers and data.

// -- Adam ----------------------------------------------------------------------------------------

// The clock advances; numbers (3) = [step_size, scaled_eps, weight_factor]. See `adam` in
// optimizers.cu.
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

// The average's clock advances; returns 1 - d. See `moving_average` in optimizers.cu.
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
    const real step_size = shared(numbers)[0], scaled_eps = shared(numbers)[1];
    const real weight_factor = shared(numbers)[2];
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
            *weight = *weight * weight_factor - step_size * (m[u] / (sqrt(v[u]) + scaled_eps));
            if (flat.grad) flat.grad[w.flat + k] = g[u];
            if (beta1 != 0) flat.g_sum[w.flat + k] = m[u];
            flat.g2_sum[w.flat + k] = v[u];
            if (flat.average)
                flat.average[w.flat + k] = average[u] + (*weight - average[u]) * fresh;
        }
    }
}

// -- random numbers and data ---------------------------------------------------------------------

// drawn = R noises and B real samples of a step. Each of the helper threads draws a pair of normal
// numbers, or eight uniform ones, until all are drawn; see random.cu.
__device__ __noinline__ void draw(u32 helper, u32 helpers, u32 step, const Sizes &n,
                                  const Numbers &s, const StreamAt *streams) {
    const u32 B = n.batch, blocks = (B + 7) / 8, pairs = (B + 1) / 2, fills = n.noises / B;
    real *const noise = shared(n.drawn), *const normal = noise + n.noises;  // (R), (B)
    for (u32 item = helper; item < pairs + fills * blocks; item += helpers) {
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

// The squared deviations from its mean, behind each of `packs` packs.
__device__ inline void deviate(const Sizes &n, u32 packs) {
    for (u32 i = threadIdx.x; i < packs * n.pack; i += blockDim.x) {
        const u32 pack = n.samples + i / n.pack * n.wide;
        real *const x = shared(pack) + i % n.pack;
        const real mean = sum_of(pack, n.pack) * (1 / (real)n.pack);
        x[n.pack] = (*x - mean) * (*x - mean);
        shared(n.means)[i / n.pack] = mean;
    }
}

// dx (B) of G's samples from the gradient dX of their packs, the first of which is number `first`;
// a sample's squared deviation adds to it, with the mean held constant.
__device__ inline void unpack(const Sizes &n, u32 first, u32 dX, u32 dx) {
    for (u32 r = threadIdx.x; r < n.batch; r += blockDim.x) {
        const u32 pack = r / n.pack, i = r % n.pack;
        const real *const d = shared(dX) + pack * n.wide + i;
        const real x = shared(n.samples)[(first + pack) * n.wide + i];
        const real *const mean = shared(n.means) + first + pack;
        shared(dx)[r] = n.deviations ? d[n.pack] * ((x - *mean) * 2) + d[0] : d[0];
    }
}
