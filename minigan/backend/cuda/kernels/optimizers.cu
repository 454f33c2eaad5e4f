// Optimizers: one pass over a flat buffer of n numbers. The clock lives on the device, so a
// replayed step finds its number and its rate there.

// Where the members of a population have clocks of their own, (members, 3), an update is launched
// for each: n numbers of the member in blockIdx.y. Otherwise there is one clock, and n are all.
#define OF_MEMBER(flat) (flat += blockIdx.y * (u64)n)
#define CLOCK 3

// clock = [step, base rate, rate]: constant for `start` steps, then falling linearly to
// `last` x base at `end`.
KERNEL tick(u32 members, double *clock, double start, double end, double last) {
    EACH(member, members) {
        double *own = clock + CLOCK * member;
        const double done = own[0];
        double factor = 1.0;
        if (done >= end)
            factor = last;
        else if (done > start)
            factor = 1.0 - (1.0 - last) * (done - start) / (end - start);
        own[0] = done + 1.0;
        own[2] = own[1] * factor;
    }
}

// velocity = momentum velocity + grad;   data = data - rate velocity
KERNEL sgd(u32 n, real *data, const real *grad, real *velocity, const double *clock, real momentum) {
    OF_MEMBER(data), OF_MEMBER(grad), OF_MEMBER(velocity);
    const real rate = (real)clock[CLOCK * blockIdx.y + 2];
    EACH(i, n) {
        const real u = momentum * velocity[i] + grad[i];
        velocity[i] = u;
        data[i] -= rate * u;
    }
}

// g2_mean = alpha g2_mean + (1 - alpha) g^2;   data = data - rate g / (sqrt(g2_mean) + eps)
KERNEL rmsprop(u32 n, real *data, const real *grad, real *g2_mean, const double *clock,
               double alpha, real eps) {
    OF_MEMBER(data), OF_MEMBER(grad), OF_MEMBER(g2_mean);
    const real rate = (real)clock[CLOCK * blockIdx.y + 2];
    const real kept = (real)alpha, fresh = (real)(1.0 - alpha);
    EACH(i, n) {
        const real g = grad[i];
        const real squares = g2_mean[i] = kept * g2_mean[i] + fresh * (g * g);
        data[i] -= rate * (g / (sqrt(squares) + eps));
    }
}

// g_sum = beta1 g_sum + g,   g2_sum = beta2 g2_sum + g^2
// data = weight_factor data - step_size g_sum / (sqrt(g2_sum) + scaled_eps)
//
// with the paper's bias corrections in the three numbers of the step; see `_adam_scalars` in
// the NumPy backend. Without momentum g_sum is g, and is not stored.
//
// A thread updates four neighbours, which are loaded as one if all buffers begin at a multiple of
// their size. The last neighbours may be fewer.
struct Adam {
    real step_size, scaled_eps, weight_factor, b1, b2;
    bool momentum, decay;

    __device__ void update(real &p, real g, real &g_sum, real &g2_sum) const {
        real sum = g;
        if (momentum) g_sum = sum = b1 * g_sum + g;
        g2_sum = b2 * g2_sum + g * g;
        if (decay) p *= weight_factor;
        p = p - step_size * (sum / (sqrt(g2_sum) + scaled_eps));
    }
};

KERNEL adam(u32 n, real *data, const real *grad, real *g_sum, real *g2_sum,
            const double *clock, double beta1, double beta2, double eps, double weight_decay) {
    __shared__ real number[3];
    OF_MEMBER(data), OF_MEMBER(grad), OF_MEMBER(g_sum), OF_MEMBER(g2_sum);
    if (threadIdx.x == 0) {
        const double t = clock[CLOCK * blockIdx.y], rate = clock[CLOCK * blockIdx.y + 2];
        const double root = sqrt((1.0 - beta2) / (1.0 - pow(beta2, t)));
        number[0] = (real)(rate / root * (1.0 - beta1) / (1.0 - pow(beta1, t)));
        number[1] = (real)(eps / root);
        number[2] = (real)(1.0 - rate * weight_decay);
    }
    __syncthreads();
    const Adam adam = {number[0], number[1], number[2], (real)beta1, (real)beta2,
                       beta1 != 0.0, weight_decay != 0.0};
    const u64 places = (u64)data | (u64)grad | (u64)g_sum | (u64)g2_sum;
    const u32 fours = places % sizeof(Four) ? 0 : n / 4;
    EACH(i, fours) {
        const Four g = ((const Four *)grad)[i];
        Four p = ((Four *)data)[i], sum = {}, squares = ((Four *)g2_sum)[i];
        if (adam.momentum) sum = ((Four *)g_sum)[i];
#pragma unroll
        for (u32 k = 0; k < 4; ++k) adam.update(p.at[k], g.at[k], sum.at[k], squares.at[k]);
        ((Four *)data)[i] = p;
        ((Four *)g2_sum)[i] = squares;
        if (adam.momentum) ((Four *)g_sum)[i] = sum;
    }
    EACH(k, n - 4 * fours) {
        const u32 i = 4 * fours + k;
        real sum = adam.momentum ? g_sum[i] : (real)0;
        adam.update(data[i], grad[i], sum, g2_sum[i]);
        if (adam.momentum) g_sum[i] = sum;
    }
}

// average = average + (1 - d) (data - average), d = min(decay, (1 + t) / (10 + t))
KERNEL moving_average(u32 n, const real *data, real *average, const double *clock, double decay) {
    const double t = clock[0], rising = (1.0 + t) / (10.0 + t);
    const real fresh = (real)(1.0 - (rising < decay ? rising : decay));
    EACH(i, n) average[i] += (data[i] - average[i]) * fresh;
}

// clock = [t], one update more
KERNEL count(double *clock) {
    if (blockIdx.x == 0 && threadIdx.x == 0) clock[0] += 1.0;
}
