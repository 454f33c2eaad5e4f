// Normalisation of each row of X (members, B, n): a block takes a row. The row is blockIdx.x, the
// member blockIdx.y. Ba, Kiros and Hinton, "Layer normalization", 2016: section 3.

#define ROW_OF(X) (X + blockIdx.y * X##_member + blockIdx.x * X##_row)

// The mean of a term for each number of a row; all threads of the block get it.
template <class Term> __device__ inline real mean_of_row(u32 n, Term term) {
    real sum = 0;
    for (u32 i = threadIdx.x; i < n; i += BLOCK) sum += term(i);
    return block_sum(sum) / n;
}

// std = sqrt(v + eps),   out = (x - m) / std
KERNEL normalise_rows(u32 n, const real *X, u64 X_row, u64 X_member, real *std, u64 std_row,
                      u64 std_member, real *out, u64 out_row, u64 out_member, real eps) {
    const real *x = ROW_OF(X);
    real *y = ROW_OF(out);
    const real m = mean_of_row(n, [&](u32 i) { return x[i]; });
    const real v = mean_of_row(n, [&](u32 i) { return (x[i] - m) * (x[i] - m); });
    const real s = sqrt(v + eps);
    for (u32 i = threadIdx.x; i < n; i += BLOCK) y[i] = (x[i] - m) / s;
    if (threadIdx.x == 0) *ROW_OF(std) = s;
}

// out = t(dy) = (dy - mean of dy - y mean of (dy y)) / std
KERNEL normalise_rows_backward(u32 n, const real *dY, u64 dY_row, u64 dY_member, const real *Y,
                               u64 Y_row, u64 Y_member, const real *std, u64 std_row,
                               u64 std_member, real *out, u64 out_row, u64 out_member) {
    const real *dy = ROW_OF(dY), *y = ROW_OF(Y);
    real *dx = ROW_OF(out);
    const real s = *ROW_OF(std);
    const real mean = mean_of_row(n, [&](u32 i) { return dy[i]; });
    const real share = mean_of_row(n, [&](u32 i) { return dy[i] * y[i]; });
    for (u32 i = threadIdx.x; i < n; i += BLOCK) dx[i] = (dy[i] - mean - y[i] * share) / s;
}

// out = -(mean of (u y) t(dy) + mean of (dy y) t(u) + mean of (dy t(u)) y) / std
KERNEL normalise_rows_curvature(u32 n, const real *dY, u64 dY_row, u64 dY_member, const real *U,
                                u64 U_row, u64 U_member, const real *Y, u64 Y_row, u64 Y_member,
                                const real *std, u64 std_row, u64 std_member, real *out,
                                u64 out_row, u64 out_member) {
    const real *dy = ROW_OF(dY), *u = ROW_OF(U), *y = ROW_OF(Y);
    real *dx = ROW_OF(out);
    const real s = *ROW_OF(std);
    const real dy_mean = mean_of_row(n, [&](u32 i) { return dy[i]; });
    const real dy_share = mean_of_row(n, [&](u32 i) { return dy[i] * y[i]; });
    const real u_mean = mean_of_row(n, [&](u32 i) { return u[i]; });
    const real u_share = mean_of_row(n, [&](u32 i) { return u[i] * y[i]; });
    const auto t_dy = [&](u32 i) { return (dy[i] - dy_mean - y[i] * dy_share) / s; };
    const auto t_u = [&](u32 i) { return (u[i] - u_mean - y[i] * u_share) / s; };
    const real both = mean_of_row(n, [&](u32 i) { return dy[i] * t_u(i); });
    for (u32 i = threadIdx.x; i < n; i += BLOCK)
        dx[i] = -(u_share * t_dy(i) + dy_share * t_u(i) + both * y[i]) / s;
}
