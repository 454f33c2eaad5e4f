// Penalties of gradients, arrays (members, B, F) with a number for each row in arrays (members, B, 1).
// A member is in blockIdx.y. NUMBER is that of normalisation.cu.

#define OF_ROW(X) X[blockIdx.y * X##_member + i / columns * X##_row]

// out = alpha A + (1 - alpha) B
KERNEL interpolate(u32 n, u32 columns, real *out, u64 out_row, u64 out_member, const real *A,
                   u64 A_row, u64 A_member, const real *B, u64 B_row, u64 B_member,
                   const real *alpha, u64 alpha_row, u64 alpha_member) {
    EACH(i, n) {
        const real b = NUMBER(B);
        NUMBER(out) = (NUMBER(A) - b) * OF_ROW(alpha) + b;
    }
}

// out (members, B, 1) = the Euclidean norm of each row. One block a row.
KERNEL row_norms(u32 columns, const real *G, u64 G_row, u64 G_member, real *out, u64 out_row,
                 u64 out_member) {
    G += blockIdx.y * G_member + blockIdx.x * G_row;
    real sum = 0;
    for (u32 i = threadIdx.x; i < columns; i += BLOCK) sum += G[i] * G[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.y * out_member + blockIdx.x * out_row] = sqrt(sum);
}

// out = factor (1 - 1 / n) g, n the norm of the row
KERNEL norm_gradient(u32 n, u32 columns, real *out, u64 out_row, u64 out_member, const real *G,
                     u64 G_row, u64 G_member, const real *norms, u64 norms_row, u64 norms_member,
                     real factor) {
    EACH(i, n) NUMBER(out) = NUMBER(G) * (factor - factor / OF_ROW(norms));
}
