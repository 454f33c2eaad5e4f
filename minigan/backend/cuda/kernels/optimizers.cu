// Optimizers: one pass over a flat buffer of n numbers. The clock lives on the device, so a
// replayed step finds its number and its rate there.

// clock = [step, base rate, rate]: constant for `start` steps, then falling linearly to
// `last` x base at `end`.
KERNEL tick(double *clock, double start, double end, double last) {
    if (blockIdx.x || threadIdx.x) return;
    const double done = clock[0];
    double factor = 1.0;
    if (done >= end)
        factor = last;
    else if (done > start)
        factor = 1.0 - (1.0 - last) * (done - start) / (end - start);
    clock[0] = done + 1.0;
    clock[2] = clock[1] * factor;
}

// velocity = momentum velocity + grad;   data = data - rate velocity
KERNEL sgd(u32 n, real *data, const real *grad, real *velocity, const double *clock, real momentum) {
    const real rate = (real)clock[2];
    EACH(i, n) {
        const real u = momentum * velocity[i] + grad[i];
        velocity[i] = u;
        data[i] -= rate * u;
    }
}

// g2_mean = alpha g2_mean + (1 - alpha) g^2;   data = data - rate g / (sqrt(g2_mean) + eps)
KERNEL rmsprop(u32 n, real *data, const real *grad, real *g2_mean, const double *clock,
               double alpha, real eps) {
    const real rate = (real)clock[2], kept = (real)alpha, fresh = (real)(1.0 - alpha);
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
KERNEL adam(u32 n, real *data, const real *grad, real *g_sum, real *g2_sum,
            const double *clock, double beta1, double beta2, double eps, double weight_decay) {
    __shared__ real number[3];
    if (threadIdx.x == 0) {
        const double t = clock[0], rate = clock[2];
        const double root = sqrt((1.0 - beta2) / (1.0 - pow(beta2, t)));
        number[0] = (real)(rate / root * (1.0 - beta1) / (1.0 - pow(beta1, t)));
        number[1] = (real)(eps / root);
        number[2] = (real)(1.0 - rate * weight_decay);
    }
    __syncthreads();
    const real step_size = number[0], scaled_eps = number[1], weight_factor = number[2];
    const real b1 = (real)beta1, b2 = (real)beta2;
    EACH(i, n) {
        const real g = grad[i];
        real sum = g;
        if (beta1 != 0.0) g_sum[i] = sum = b1 * g_sum[i] + g;
        const real squares = g2_sum[i] = b2 * g2_sum[i] + g * g;
        real p = data[i];
        if (weight_decay != 0.0) p *= weight_factor;
        data[i] = p - step_size * (sum / (sqrt(squares) + scaled_eps));
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
