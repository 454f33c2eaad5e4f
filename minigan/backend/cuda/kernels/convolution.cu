// Images (members, B, h w c), the channels of a pixel next to each other; a member in blockIdx.y.
// The geometry is that of minigan/backend/window.py: the kernel of kh x kw pixels has oh x ow
// places, sh rows and sw columns apart, and the first is ph rows above and pw columns left of the
// image.
//
// A thread computes a number from all that it depends on, so no two threads write the same one.

// windows (members, B oh ow, kh kw c) = what the kernel covers in each place; 0 outside the image
KERNEL gather_windows(u32 n, u32 h, u32 w, u32 c, u32 kh, u32 kw, u32 sh, u32 sw, u32 ph, u32 pw,
                      u32 oh, u32 ow, const real *X, u64 X_row, u64 X_member, real *windows) {
    X += blockIdx.y * X_member;
    windows += blockIdx.y * (u64)n;
    EACH(i, n) {
        const u32 channel = i % c, tap = i / c % (kh * kw), place = i / (c * kh * kw);
        // The pixel under the tap. Above and left of the image it wraps around to huge numbers.
        const u32 y = place / ow % oh * sh + tap / kw - ph, x = place % ow * sw + tap % kw - pw;
        const u32 image = place / (oh * ow);
        windows[i] = y < h && x < w ? X[image * X_row + (y * w + x) * c + channel] : (real)0;
    }
}

// X = windows^T(windows): each pixel is the sum of its numbers in all windows that cover it
KERNEL sum_windows(u32 n, u32 h, u32 w, u32 c, u32 kh, u32 kw, u32 sh, u32 sw, u32 ph, u32 pw,
                   u32 oh, u32 ow, real *X, u64 X_row, u64 X_member, const real *windows) {
    X += blockIdx.y * X_member;
    windows += blockIdx.y * (u64)(n / (h * w * c)) * oh * ow * kh * kw * c;
    EACH(i, n) {
        const u32 channel = i % c, image = i / (h * w * c);
        const u32 y = i / (w * c) % h + ph, x = i / c % w + pw;  // with the padding
        real sum = 0;
        // Tap (a, b) covers the pixel from the place ((y - a) / sh, (x - b) / sw), if it is whole.
        for (u32 a = y % sh; a < kh && a <= y; a += sh)
            for (u32 b = x % sw; b < kw && b <= x; b += sw) {
                const u32 row = (y - a) / sh, column = (x - b) / sw;
                if (row < oh && column < ow)
                    sum += windows[(u64)((image * oh + row) * ow + column) * (kh * kw * c) +
                                   (a * kw + b) * c + channel];
            }
        X[image * X_row + i % (h * w * c)] = sum;
    }
}

// out (members, B, fh h fw w c): each pixel of X (members, B, h w c) fh x fw times
KERNEL upsample(u32 n, u32 h, u32 w, u32 c, u32 fh, u32 fw, real *out, u64 out_row, u64 out_member,
                const real *X, u64 X_row, u64 X_member) {
    X += blockIdx.y * X_member;
    out += blockIdx.y * out_member;
    const u32 columns = w * fw, features = h * fh * columns * c;
    EACH(i, n) {
        const u32 channel = i % c, image = i / features;
        const u32 y = i / (columns * c) % (h * fh) / fh, x = i / c % columns / fw;
        out[image * out_row + i % features] = X[image * X_row + (y * w + x) * c + channel];
    }
}

// out (members, B, h w c): the images of X, zoomed, sheared and shifted by amounts (members, B, 5).
// In double and without fused additions, so that a pixel is the same one as on the CPU.
__device__ inline double moved(double x, double middle, double zoom, double shift) {
    return __dadd_rn(__dadd_rn(__dmul_rn(__dadd_rn(zoom, 1), x), middle), shift);
}
KERNEL move_images(u32 n, u32 h, u32 w, u32 c, double zoom, double shear, double shift,
                   real background, real *out, u64 out_row, u64 out_member, const real *X,
                   u64 X_row, u64 X_member, const real *amounts, u64 amounts_row,
                   u64 amounts_member) {
    X += blockIdx.y * X_member;
    out += blockIdx.y * out_member;
    amounts += blockIdx.y * amounts_member;
    EACH(i, n) {
        const u32 channel = i % c, image = i / (h * w * c);
        const real *a = amounts + image * amounts_row;
        const double m = (h - 1) / 2.0, y = i / (w * c) % h - m;
        const double middle = (w - 1) / 2.0, x = i / c % w - middle;
        const double row = rint(moved(y, m, __dmul_rn(zoom, a[3]), __dmul_rn(shift, a[4])));
        const double along = moved(x, middle, __dmul_rn(zoom, a[0]), __dmul_rn(shift, a[2]));
        const double column = rint(__dadd_rn(along, __dmul_rn(__dmul_rn(shear, a[1]), y)));
        const bool inside = 0 <= row && row < h && 0 <= column && column < w;
        const u32 at = inside ? ((u32)row * w + (u32)column) * c + channel : 0;
        out[image * out_row + i % (h * w * c)] = inside ? X[image * X_row + at] : background;
    }
}

// out (members, B, h w c) = the sum of dY (members, B, fh h fw w c) over the copies of each pixel
KERNEL upsample_backward(u32 n, u32 h, u32 w, u32 c, u32 fh, u32 fw, real *out, u64 out_row,
                         u64 out_member, const real *dY, u64 dY_row, u64 dY_member) {
    dY += blockIdx.y * dY_member;
    out += blockIdx.y * out_member;
    EACH(i, n) {
        const u32 channel = i % c, image = i / (h * w * c);
        const u32 y = i / (w * c) % h * fh, x = i / c % w * fw;  // of the first copy
        real sum = 0;
        for (u32 a = 0; a < fh; ++a)
            for (u32 b = 0; b < fw; ++b)
                sum += dY[image * dY_row + ((y + a) * (w * fw) + x + b) * c + channel];
        out[image * out_row + i % (h * w * c)] = sum;
    }
}
