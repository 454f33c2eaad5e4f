// The parts of a step, and the kernel. See memory.cuh for how it works as a whole.

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

// G makes the samples of both halves. Meanwhile the clocks advance and, if there is one more step,
// its random numbers are drawn: by the last threads, which the product leaves idle first.
__device__ __noinline__ void generate(const Sizes &n, const Numbers &s, double *g_clock,
                                      double *d_clock, double *average_clock,
                                      const StreamAt *streams, u32 step, bool more) {
    const u32 R = n.noises, P = n.batch / n.pack;
    const Layers G = layers_of_G(n);
    hidden_layer(n, R, 4, n.noise, G.first.W, {ELU, (real)s.alpha}, n.g_first, 0, false);
    __syncthreads();
    const u32 helper = blockDim.x - 1 - threadIdx.x;
    if (helper == 0) {
        tick_adam(g_clock, s.adam[0], n.numbers);
        if (average_clock) shared(n.numbers)[3] = tick_average(average_clock, s.decay);
    } else if (helper == 32) {
        tick_adam(d_clock, s.adam[1], n.numbers + 4);
    } else if (helper >= 64 && more) {
        draw(helper - 64, blockDim.x - 64, step + 1, n, s, streams);
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

// D scores the first `packs` packs of X: its activations, and the gradient dy of the loss.
__device__ __noinline__ void score(const Sizes &n, const Numbers &s, u32 packs, u32 X,
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
        shared(n.output_gradients)[row] = sign * loss.gradient;
    }
    __syncthreads();
}

// D's half: D learns from the real packs and the fake ones.
__device__ __noinline__ void update_discriminator(const Sizes &n, const Numbers &s, real *g_sum,
                                                 real *g2_sum, real *grad) {
    const Flat flat = {shared_or(n.d_g_sum, g_sum), shared_or(n.d_g2_sum, g2_sum), nullptr, grad};
    const u32 rows = 2 * (n.batch / n.pack), H = n.hidden, S = n.stride, F = n.features;
    const u32 X = n.samples, h1 = n.d_first, h2 = n.d_second, dh1 = n.d_first_gradient;
    const u32 numbers = n.numbers + 4;
    const Layers D = layers_of_D(n);
    const Activation f = activation_of_D(n, s);
    score(n, s, rows, X, (real)s.real_target, (real)s.fake_target, 1, n.terms);
    const u32 groups = output_backward(n, rows, f, D.third.W, n.output_gradients, h2, true);
    __syncthreads();
    u32 parts = 0;
    if (!n.few) {
        parts = weight_gradient(rows, H + 1, S, h1, S, h2, n.scratch, n.room);
        __syncthreads();
    }
    hidden_backward(n, rows, f, h2, D.second.W, h1, dh1, n.few ? n.room : 0);
    __syncthreads();
    adam(s.adam[1], numbers, flat, D.third, {groups, n.dots, S, 0, 0});
    if (n.few) {
        adam(s.adam[1], numbers, flat, D.second, {rows, h1, S, h2, S});
        adam(s.adam[1], numbers, flat, D.first, {rows, X, n.wide, dh1, S});
    } else {
        adam(s.adam[1], numbers, flat, D.second, {parts, n.scratch, (H + 1) * S, 0, 0});
        // h2 is no longer needed: the parts take its place
        parts = weight_gradient(rows, F + 1, n.wide, X, S, dh1, h2, rows * S);
        __syncthreads();
        adam(s.adam[1], numbers, flat, D.first, {parts, h2, (F + 1) * S, 0, 0});
    }
    __syncthreads();
}

// G's half: D scores G's packs; its input gradient is passed to G, which learns from it.
__device__ __noinline__ void update_generator(const Sizes &n, const Numbers &s, real *g_sum,
                                             real *g2_sum, real *average, real *grad,
                                             double *totals) {
    const Flat flat = {shared_or(n.g_g_sum, g_sum), shared_or(n.g_g2_sum, g2_sum), average, grad};
    const u32 B = n.batch, P = B / n.pack, H = n.hidden, S = n.stride;
    const u32 first = n.noises / n.pack;  // of G's packs in X
    const u32 half = n.noises - B;        // of its rows in Z and h1
    const Layers D = layers_of_D(n), G = layers_of_G(n);
    const Activation f = activation_of_D(n, s);
    score(n, s, P, n.samples + first * n.wide, (real)s.generator_target, 0, (real)s.sign,
          n.terms + 2 * P);
    output_backward(n, P, f, D.third.W, n.output_gradients, n.d_second, false);
    __syncthreads();
    hidden_backward(n, P, f, n.d_second, D.second.W, n.d_first, n.d_first_gradient, n.room);
    __syncthreads();
    input_backward(n, P, n.d_first_gradient, D.first.W, n.pack_gradients);
    __syncthreads();
    unpack(n, first, n.pack_gradients, n.output_gradients);
    __syncthreads();

    const u32 Z = n.noise + half * 4, h1 = n.g_first + half * S, h2 = n.g_second;
    const u32 groups = output_backward(n, B, {SIGMOID, 0}, G.third.W, n.output_gradients, h2, true);
    __syncthreads();
    const u32 helper = blockDim.x - 1 - threadIdx.x;  // the last threads have no tile to sum up
    if (helper < 3) record_loss(n, helper, totals);
    const u32 parts = weight_gradient(B, H + 1, S, h1, S, h2, n.scratch, n.room);
    __syncthreads();
    hidden_backward(n, B, {ELU, (real)s.alpha}, h2, G.second.W, h1, h1, 0);
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

// Train for `steps` steps. Of the arrays in global memory the clocks, the average, the totals and
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
    carry(layers_of_G(n), g_data, g_g_sum, g_g2_sum, n.g_g_sum, n.g_g2_sum, false);
    carry(layers_of_D(n), d_data, d_g_sum, d_g2_sum, n.d_g_sum, n.d_g2_sum, false);
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
        update_discriminator(n, s, d_g_sum, d_g2_sum, last ? d_grad : nullptr);
        update_generator(n, s, g_g_sum, g_g2_sum, average, last ? g_grad : nullptr, totals);
    }

    __syncthreads();
    carry(layers_of_G(n), g_data, g_g_sum, g_g2_sum, n.g_g_sum, n.g_g2_sum, true);
    carry(layers_of_D(n), d_data, d_g_sum, d_g2_sum, n.d_g_sum, n.d_g2_sum, true);
}
