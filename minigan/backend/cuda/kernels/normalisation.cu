// Batch normalisation of X (members, B, n c), whose rows are n pixels of c channels. A member is in
// blockIdx.y. Ioffe and Szegedy, "Batch normalization", 2015: algorithm 1 and section 3.

// out (members, 1, n c) = scale times the sum over the B rows of a term of x and y, for 32 columns
// by a block of 32 x TALL. Y is like X, or a row of Y_length = c numbers with a Y_row of 0. The sum
// over the n pixels is left to sum_rows.
#define SUM_OF(name, term)                                                                    \
    KERNEL name(u32 rows, u32 columns, const real *X, u64 X_row, u64 X_member, const real *Y, \
                u64 Y_row, u64 Y_member, u32 Y_length, real *out, u64 out_member,             \
                real scale) {                                                                 \
        const u32 column = blockIdx.x * 32 + threadIdx.x;                                     \
        X += blockIdx.y * X_member + column;                                                  \
        Y += blockIdx.y * Y_member + column % Y_length;                                       \
        real sum = 0;                                                                         \
        if (column < columns)                                                                 \
            for (u32 row = threadIdx.y; row < rows; row += TALL) {                            \
                const real x = X[row * X_row], y = Y[row * Y_row];                            \
                sum += (term);                                                                \
            }                                                                                 \
        sum = sum_of_column(sum);                                                             \
        if (threadIdx.y == 0 && column < columns)                                             \
            out[blockIdx.y * out_member + column] = sum * scale;                              \
    }

SUM_OF(sum_squared_deviations, (x - y) * (x - y))  // y is the channel's mean
SUM_OF(sum_products, x * y)

// A number of an array (members, B, n c), and that of its channel in a row (members, 1, c)
#define NUMBER(X) X[blockIdx.y * X##_member + i / columns * X##_row + i % columns]
#define CHANNEL(row) row[blockIdx.y * row##_member + i % columns % channels]

// normalised = (x - mean) / sqrt(variance + eps),   out = gamma normalised + beta
KERNEL normalise(u32 n, u32 columns, u32 channels, real *out, u64 out_row, u64 out_member,
                 const real *X, u64 X_row, u64 X_member, real *normalised, u64 normalised_row,
                 u64 normalised_member, const real *mean, u64 mean_member, const real *variance,
                 u64 variance_member, const real *gamma, u64 gamma_member, const real *beta,
                 u64 beta_member, real eps) {
    EACH(i, n) {
        const real x = (NUMBER(X) - CHANNEL(mean)) * (1 / sqrt(CHANNEL(variance) + eps));
        NUMBER(normalised) = x;
        NUMBER(out) = CHANNEL(gamma) * x + CHANNEL(beta);
    }
}

// out = gamma / sqrt(variance + eps) (dy - dbeta / N - normalised dgamma / N)
KERNEL normalise_backward(u32 n, u32 columns, u32 channels, real *out, u64 out_row,
                          u64 out_member, const real *dY, u64 dY_row, u64 dY_member,
                          const real *normalised, u64 normalised_row, u64 normalised_member,
                          const real *variance, u64 variance_member, const real *gamma,
                          u64 gamma_member, const real *dgamma, u64 dgamma_member,
                          const real *dbeta, u64 dbeta_member, real eps) {
    const real share = 1 / (real)(n / channels);  // 1 / N
    EACH(i, n) {
        const real through_statistics =
            (NUMBER(normalised) * CHANNEL(dgamma) + CHANNEL(dbeta)) * share;
        NUMBER(out) = (NUMBER(dY) - through_statistics) *
                      (CHANNEL(gamma) * (1 / sqrt(CHANNEL(variance) + eps)));
    }
}
