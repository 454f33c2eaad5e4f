// One formula for every number. Arrays are rows of `inner` numbers that lie together, with a
// distance between rows; the second factor of a kernel may be shorter than a row, and is then
// repeated along it, a whole number of times: so a bias (1, O) is added to each of the B rows of O
// numbers.

#define ROW(i) ((i) / inner)
#define AT(array, i) array[(size_t)ROW(i) * array##_row + (i) % array##_length]

// The formulas that products can end in, too (see matmul.cu). Backward ones take dY and Y.
__device__ inline real relu_of(real x) { return at_least(x, 0); }
__device__ inline real relu_back(real dy, real y) { return y > 0 ? dy : 0; }
__device__ inline real leaky_of(real x, real slope) { return x > 0 ? x : slope * x; }
__device__ inline real leaky_back(real dy, real y, real slope) { return y > 0 ? dy : slope * dy; }
__device__ inline real sigmoid_back(real dy, real y) { return dy * (y * (1 - y)); }
__device__ inline real tanh_back(real dy, real y) { return dy * (1 - y * y); }
__device__ inline real elu_of(real x, real alpha, real *slope) {
    const real E = exp(at_most(x, 0));
    *slope = x > 0 ? 1 : alpha * E;
    return x > 0 ? x : alpha * (E - 1);
}

// out = formula of x
#define MAP1(name, formula, ...)                                                              \
    KERNEL name(u32 n, u32 inner, real *out, u64 out_row, const real *X, u64 X_row,           \
                ##__VA_ARGS__) {                                                              \
        const u32 out_length = inner, X_length = inner;                                       \
        EACH(i, n) {                                                                          \
            const real x = AT(X, i);                                                          \
            AT(out, i) = (formula);                                                           \
        }                                                                                     \
    }

// out = formula of x and y
#define MAP2(name, formula, ...)                                                              \
    KERNEL name(u32 n, u32 inner, real *out, u64 out_row, const real *X, u64 X_row,           \
                const real *Y, u64 Y_row, u32 Y_length, ##__VA_ARGS__) {                      \
        const u32 out_length = inner, X_length = inner;                                       \
        EACH(i, n) {                                                                          \
            const real x = AT(X, i), y = AT(Y, i);                                            \
            AT(out, i) = (formula);                                                           \
        }                                                                                     \
    }

MAP2(add, x + y)  // also add_rows
MAP2(multiply, x * y)  // also dropout, its backward, and that of elu: x is the input or dY

MAP1(relu, relu_of(x))
MAP2(relu_backward, relu_back(x, y))
MAP1(leaky_relu, leaky_of(x, slope), real slope)
MAP2(leaky_relu_backward, leaky_back(x, y, slope), real slope)
MAP1(sigmoid, sigmoid_of(x))
MAP2(sigmoid_backward, sigmoid_back(x, y))
MAP1(tanh_forward, tanh(x))
MAP2(tanh_backward, tanh_back(x, y))
MAP1(negate, -x)
MAP1(scale, factor * x, real factor)
MAP1(clip, x < low ? low : x > high ? high : x, real low, real high)  // NaN stays NaN

// out = x > 0 ? x : alpha (exp(x) - 1), and the slope there
KERNEL elu(u32 n, u32 inner, real *out, u64 out_row, const real *X, u64 X_row, real *slope,
           u64 slope_row, real alpha) {
    const u32 out_length = inner, X_length = inner, slope_length = inner;
    EACH(i, n) {
        real kept;
        AT(out, i) = elu_of(AT(X, i), alpha, &kept);
        AT(slope, i) = kept;
    }
}

// out = dY U f''(x), f'' from the activation's output y
#define CURVATURE(name, formula)                                                              \
    KERNEL name(u32 n, u32 inner, real *out, u64 out_row, const real *dY, u64 dY_row,         \
                const real *U, u64 U_row, const real *Y, u64 Y_row) {                         \
        const u32 out_length = inner, dY_length = inner, U_length = inner, Y_length = inner;  \
        EACH(i, n) {                                                                          \
            const real y = AT(Y, i);                                                          \
            AT(out, i) = AT(dY, i) * AT(U, i) * (formula);                                    \
        }                                                                                     \
    }

CURVATURE(sigmoid_curvature, y * (1 - y) * (1 - 2 * y))
CURVATURE(tanh_curvature, 2 * y * (y * y - 1))

// out = dY U slope where y <= 0, else 0
KERNEL elu_curvature(u32 n, u32 inner, real *out, u64 out_row, const real *dY, u64 dY_row,
                     const real *U, u64 U_row, const real *Y, u64 Y_row, const real *slope,
                     u64 slope_row) {
    const u32 out_length = inner, dY_length = inner, U_length = inner, Y_length = inner;
    const u32 slope_length = inner;
    EACH(i, n) AT(out, i) = AT(Y, i) > 0 ? (real)0 : AT(dY, i) * AT(U, i) * AT(slope, i);
}

MAP2(pack_deviations, (x - y) * (x - y))  // y is the pack's mean

// out = dY 2 (X - mean)
KERNEL pack_deviations_backward(u32 n, u32 inner, real *out, u64 out_row, const real *dY,
                                u64 dY_row, const real *X, u64 X_row, const real *mean,
                                u64 mean_row, u32 mean_length) {
    const u32 out_length = inner, dY_length = inner, X_length = inner;
    EACH(i, n) AT(out, i) = AT(dY, i) * ((AT(X, i) - AT(mean, i)) * 2);
}

// The gradients of the losses. Targets are an array, or null and one number for all.
#define TARGET(i) (targets ? AT(targets, i) : target)
#define LOSS_GRADIENT(name, formula)                                                          \
    KERNEL name(u32 n, u32 inner, real *out, u64 out_row, const real *X, u64 X_row,           \
                const real *targets, u64 targets_row, real target, real count) {              \
        const u32 out_length = inner, X_length = inner, targets_length = inner;               \
        EACH(i, n) {                                                                          \
            const real x = AT(X, i), t = TARGET(i);                                           \
            AT(out, i) = (formula);                                                           \
        }                                                                                     \
    }

LOSS_GRADIENT(bce_gradient, (x - t) / (at_least((1 - x) * x, (real)1e-12) * count))
LOSS_GRADIENT(bce_with_logits_gradient, (sigmoid_of(x) - t) / count)
LOSS_GRADIENT(mean_squared_error_gradient, (x - t) * (2 / count))
LOSS_GRADIENT(hinge_gradient, x * t < 1 ? -t / count : 0)

// out (B, features) = the rows of X (N, features) at index (B,)
KERNEL take_rows(u32 n, u32 features, real *out, const real *X, const i64 *index) {
    EACH(i, n) out[i] = X[index[i / features] * features + i % features];
}

// The same of bytes, as numbers in [-1, 1]
KERNEL take_pixels(u32 n, u32 features, real *out, const u8 *X, const i64 *index) {
    EACH(i, n) {
        const real pixel = X[index[i / features] * features + i % features];
        out[i] = (pixel - (real)127.5) * (real)(1.0 / 127.5);
    }
}
