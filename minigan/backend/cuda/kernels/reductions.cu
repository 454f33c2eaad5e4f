// Sums and means. Their order is fixed, so two runs give the same bits.

#define TALL 32  // threads in a column of a block that sums rows

// The sum of a number from each thread in a column of a block of 32 x TALL. Only the first thread
// of the column gets it.
__device__ inline real sum_of_column(real sum) {
    __shared__ real part[TALL][32];
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0)
        for (u32 k = 1; k < TALL; ++k) sum += part[k][threadIdx.x];
    return sum;
}

// out (1, O) = scale times the sum of the rows of X (B, O), for 32 columns by a block of 32 x TALL
__device__ inline void sum_of_rows(u32 rows, u32 columns, u32 first, const real *X, u64 X_row,
                                   real *out, real scale) {
    const u32 column = first + threadIdx.x;
    real sum = 0;
    if (column < columns)
        for (u32 row = threadIdx.y; row < rows; row += TALL) sum += X[row * X_row + column];
    sum = sum_of_column(sum);
    if (threadIdx.y == 0 && column < columns) out[column] = sum * scale;
}

// The same for each member: X (members, B, O), out (members, 1, O)
KERNEL sum_rows(u32 rows, u32 columns, const real *X, u64 X_member, u64 X_row, real *out,
                u64 out_member, real scale) {
    sum_of_rows(rows, columns, blockIdx.x * 32, X + blockIdx.y * X_member, X_row,
                out + blockIdx.y * out_member, scale);
}

// Several such sums of a replayed step in one launch. A row of the table is a sum:
enum { SUM_FIRST, ROWS, COLUMNS, SUM_X, X_MEMBER, X_ROW, SUM_OUT, OUT_MEMBER, SCALE, SUM_COLUMNS };
// SUM_FIRST the number of its first block; the rest as above, the scale as the bits of a double.
KERNEL sum_many(u32 sums, const u64 *table) {
    const u64 *s = table;
    for (u32 k = 1; k < sums && blockIdx.x >= table[k * SUM_COLUMNS + SUM_FIRST]; ++k)
        s += SUM_COLUMNS;
    sum_of_rows((u32)s[ROWS], (u32)s[COLUMNS], (blockIdx.x - (u32)s[SUM_FIRST]) * 32,
                (const real *)s[SUM_X] + blockIdx.y * s[X_MEMBER], s[X_ROW],
                (real *)s[SUM_OUT] + blockIdx.y * s[OUT_MEMBER], as_real(s[SCALE]));
}

// out (rows,) = the mean of a term for each number of X (rows, n). One block a row.
#define MEAN(name, term)                                                                      \
    KERNEL name(u32 n, real *out, u64 out_row, const real *X, u64 X_row, const real *targets, \
                u64 targets_row, real target) {                                               \
        real sum = 0;                                                                         \
        for (u32 i = threadIdx.x; i < n; i += BLOCK) {                                        \
            const real x = X[blockIdx.x * X_row + i];                                         \
            const real t = targets ? targets[blockIdx.x * targets_row + i] : target;          \
            sum += (term);                                                                    \
        }                                                                                     \
        sum = block_sum(sum);                                                                 \
        if (threadIdx.x == 0) out[blockIdx.x * out_row] = sum / n;                            \
    }

// Each logarithm is clamped to at least -100, as PyTorch does.
MEAN(bce_loss, -(t * at_least(log(x), -100) + (1 - t) * at_least(log(1 - x), -100)))
MEAN(bce_with_logits_loss, at_least(x, 0) - x * t + log1p(exp(-fabs(x))))
MEAN(mean_squared_error_loss, (x - t) * (x - t))
MEAN(hinge_loss, at_least(1 - x * t, 0))

// The largest number of a row x of K logits
__device__ inline real peak_of(u32 K, const real *x) {
    real peak = x[0];
    for (u32 k = 1; k < K; ++k) peak = at_least(peak, x[k]);
    return peak;
}

// out (members,) = the mean over the rows x, t of logits and targets (members, B, K) of
// log(sum_k exp(x_k)) - sum_k t_k x_k. One block a member, a row a thread.
KERNEL softmax_cross_entropy_loss(u32 B, u32 K, const real *logits, u64 logits_row,
                                  u64 logits_member, const real *targets, u64 targets_row,
                                  u64 targets_member, real *out, u64 out_member) {
    real sum = 0;
    for (u32 row = threadIdx.x; row < B; row += BLOCK) {
        const real *x = logits + blockIdx.x * logits_member + row * logits_row;
        const real *t = targets + blockIdx.x * targets_member + row * targets_row;
        const real peak = peak_of(K, x);
        real total = 0, chosen = 0;
        for (u32 k = 0; k < K; ++k) {
            total += exp(x[k] - peak);
            if (t[k] != 0) chosen += t[k] * (x[k] - peak);  // an infinite logit times 0 is NaN
        }
        sum += log(total) - chosen;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x * out_member] = sum / B;
}

// out = (softmax(x) - t) / count for the rows x, t of logits and targets (members, B, K). A row a
// thread, a member in blockIdx.y.
KERNEL softmax_cross_entropy_gradient(u32 B, u32 K, real count, const real *logits, u64 logits_row,
                                      u64 logits_member, const real *targets, u64 targets_row,
                                      u64 targets_member, real *out, u64 out_row,
                                      u64 out_member) {
    EACH(row, B) {
        const real *x = logits + blockIdx.y * logits_member + row * logits_row;
        const real *t = targets + blockIdx.y * targets_member + row * targets_row;
        real *dx = out + blockIdx.y * out_member + row * out_row;
        const real peak = peak_of(K, x);
        real total = 0;
        for (u32 k = 0; k < K; ++k) total += dx[k] = exp(x[k] - peak);
        for (u32 k = 0; k < K; ++k) dx[k] = (dx[k] / total - t[k]) / count;
    }
}

// totals (members, 2, C): the sum of each of C losses over K steps, and its finite steps.
KERNEL record_losses(u32 members, u32 K, u32 C, const real *losses, u64 losses_member,
                     double *totals) {
    EACH(i, members * C) {
        const u32 member = i / C, which = i % C;
        double *sum = totals + member * 2 * C + which, *finite = sum + C;
        for (u32 k = 0; k < K; ++k) {
            *sum += losses[member * losses_member + k * C + which];
            if (isfinite(*sum)) *finite += 1;
        }
    }
}

// out (members,) = 0 if a number of X (members, n) is not finite; a member in blockIdx.y. It is 1
// before, and all that write into it write the same.
KERNEL record_finite(u32 n, const real *X, u64 X_row, double *out, u64 out_row) {
    EACH(i, n)
        if (!isfinite(X[blockIdx.y * X_row + i])) out[blockIdx.y * out_row] = 0.0;
}
