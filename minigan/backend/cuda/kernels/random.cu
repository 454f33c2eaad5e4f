// Random fills: the bits of a counter-based stream, as minigan/backend/random.py defines them.
//
// Philox4x64-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011): ten rounds of two 64 x 64 -> 128 bit products, each round with a key
// that a Weyl sequence moves on. The multipliers are the paper's; the Weyl steps are the golden
// ratio and sqrt(3) - 1, in units of 2^-64.

struct Block {
    u64 word[4];
};

__device__ inline void philox_round(u64 c[4], u64 key0, u64 key1) {
    const u64 M0 = 0xD2E7470EE14C6C93ull, M1 = 0xCA5A826395121157ull;
    const u64 high0 = __umul64hi(M0, c[0]), low0 = M0 * c[0];
    const u64 high1 = __umul64hi(M1, c[2]), low1 = M1 * c[2];
    c[0] = high1 ^ c[1] ^ key0;
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ key1;
    c[3] = low0;
}

// Block number `position` of the stream with this key. Streams raise the counter before they make
// a block, as NumPy does, so this is Philox at counter position + 1.
__device__ inline Block philox(u64 key0, u64 key1, u64 position) {
    u64 c[4] = {position + 1, position == ~0ull ? 1ull : 0ull, 0, 0};
    for (int round = 0; round < 10; ++round) {
        philox_round(c, key0, key1);
        key0 += 0x9E3779B97F4A7C15ull;
        key1 += 0xBB67AE8584CAA73Bull;
    }
    Block block;
    for (int i = 0; i < 4; ++i) block.word[i] = c[i];
    return block;
}

// Uniform number i (0 to 7) of a block: the high 24 bits of a 32-bit half, low half first.
__device__ inline float uniform_of(const Block &block, int i) {
    const u32 half = (u32)(block.word[i / 2] >> (i % 2 * 32));
    return (half >> 8) * (1.0f / 16777216.0f);
}

// Where a fill begins. `start` points to the position at the start of a step that is replayed, and
// `offset` counts from there; outside of one, `start` is null and `offset` is the position itself.
__device__ inline u64 position_of(const u64 *start, u64 offset) {
    return (start ? *start : 0) + offset;
}

// Raw words, for permutations: out (members, 4 blocks).
KERNEL fill_words(u32 members, u32 blocks, const u64 *keys, const u64 *start, u64 offset, u64 *out) {
    EACH(i, members * blocks) {
        const u32 member = i / blocks, b = i % blocks;
        const Block block =
            philox(keys[2 * member], keys[2 * member + 1], position_of(start, offset) + b);
        for (int w = 0; w < 4; ++w) out[4 * (u64)i + w] = block.word[w];
    }
}

// What a thread does for block b of a fill of n numbers, of `blocks` blocks from `position` on.
struct Fill {
    u32 n, blocks;
    u64 key0, key1, position;
};

// Store four numbers from to[first] on, as far as the `size` numbers go.
__device__ inline void store(real *to, u32 first, u32 size, const Four &numbers) {
    if (first + 4 <= size && (u64)(to + first) % sizeof(Four) == 0)
        *(Four *)(to + first) = numbers;
    else
#pragma unroll
        for (u32 k = 0; k < 4; ++k)
            if (first + k < size) to[first + k] = numbers.at[k];
}

// out (n,) = low + width u, eight numbers per block
__device__ inline void uniform_block(Fill fill, u32 b, real low, real width, real *out) {
    const Block block = philox(fill.key0, fill.key1, fill.position + b);
#pragma unroll
    for (u32 k = 0; k < 8; k += 4) {
        Four made;
#pragma unroll
        for (u32 l = 0; l < 4; ++l) made.at[l] = (real)uniform_of(block, k + l) * width + low;
        store(out, 8 * b + k, fill.n, made);
    }
}

// out (n,) = mean + std z. Box and Muller: a pair of uniforms gives r cos(a) and r sin(a) with
// r = sqrt(-2 log(1 - u1)) and a = 2 pi u2.
__device__ inline void normal_block(Fill fill, u32 b, real mean, real std, real *out) {
    const Block block = philox(fill.key0, fill.key1, fill.position + b);
#pragma unroll
    for (u32 k = 0; k < 8; k += 4) {
        Four made;
#pragma unroll
        for (u32 l = 0; l < 4; l += 2) {
            const real r = sqrt((real)-2 * log((real)1 - (real)uniform_of(block, k + l)));
            const real a = (real)6.283185307179586 * (real)uniform_of(block, k + l + 1);
            made.at[l] = r * cos(a) * std + mean;
            made.at[l + 1] = r * sin(a) * std + mean;
        }
        store(out, 8 * b + k, fill.n, made);
    }
}

// out (n,) = 0 where a 16-bit number is below the threshold, else scale.
//
// The bytes of the blocks are a ring of 2 half bytes, half = ceil(n / 2). Decision i of the first
// half reads bytes 2i and 2i + 1 as a little-endian number, decision half + j bytes 2j + 1 and
// 2j + 2. (fill_dropout_mask of the NumPy backend says why.) A block's 32 bytes serve 16
// decisions of each half, and the last one reads the first byte of the next block. After the last
// decision of all, the ring is closed by the first byte of the first block.
__device__ inline void mask_block(Fill fill, u32 b, u32 threshold, real scale, real *out) {
    const u32 half = (fill.n + 1) / 2;
    const Block block = philox(fill.key0, fill.key1, fill.position + b);
    const u64 next = philox(fill.key0, fill.key1, fill.position + (b + 1) % fill.blocks).word[0];
#pragma unroll
    for (u32 k = 0; k < 16; k += 4) {
        const u32 j = 16 * b + k;  // the number of the first of four decisions within their half
        Four lower, upper;
#pragma unroll
        for (u32 l = 0; l < 4; ++l) {
            const u32 number = (u32)(block.word[k / 4] >> (l * 16)) & 0xFFFF;
            u64 after = block.word[k / 4] >> ((l + 1) % 4 * 16);
            if (l == 3) after = k == 12 ? next : block.word[(k / 4 + 1) % 4];
            if (j + l == half - 1) after = next;
            const u32 shifted = number >> 8 | ((u32)after & 0xFF) << 8;
            lower.at[l] = number >= threshold ? scale : (real)0;
            upper.at[l] = shifted >= threshold ? scale : (real)0;
        }
        store(out, j, half, lower);
        store(out + half, j, fill.n - half, upper);
    }
}

// A fill of (members, n) numbers, members `row` apart. A thread makes a block.
#define FILL(name, work, ...)                                                                 \
    KERNEL name(u32 members, u32 n, u32 blocks, const u64 *keys, const u64 *start, u64 offset, \
                __VA_ARGS__, real *out, u64 row) {                                            \
        EACH(i, members * blocks) {                                                           \
            const u32 member = i / blocks, b = i % blocks;                                    \
            const Fill fill = {n, blocks, keys[2 * member], keys[2 * member + 1],             \
                               position_of(start, offset)};                                   \
            work;                                                                             \
        }                                                                                     \
    }

FILL(fill_uniform, uniform_block(fill, b, low, width, out + member * row), real low, real width)
FILL(fill_normal, normal_block(fill, b, mean, std, out + member * row), real mean, real std)
FILL(fill_dropout_mask, mask_block(fill, b, threshold, scale, out + member * row), u32 threshold,
     real scale)

// out (members, B, F) = low + part (k + u): u is what `out` holds, and k the rank of a key (members,
// B, F) among the B keys of its column. Of equal keys the first ranks lower.
KERNEL stratify(u32 n, u32 rows, u32 columns, const real *keys, real *out, u64 out_member, real low,
                real part) {
    keys += blockIdx.y * (u64)n;
    out += blockIdx.y * out_member;
    EACH(i, n) {
        const u32 row = i / columns, column = i % columns;
        const real key = keys[i];
        u32 rank = 0;
        for (u32 r = 0; r < rows; ++r) {
            const real other = keys[r * columns + column];
            rank += r < row ? other <= key : other < key;
        }
        out[i] = (out[i] + rank) * part + low;
    }
}

// The second half of a mixture: out (members, B, features) += the row of centres (K, features) at
// floor(place (members, B, 1)).
KERNEL add_centres(u32 n, u32 features, real *out, u64 out_row, u64 out_member, const real *place,
                   u64 place_row, u64 place_member, const real *centres) {
    out += blockIdx.y * out_member;
    place += blockIdx.y * place_member;
    EACH(i, n) {
        const u32 row = i / features, column = i % features;
        out[row * out_row + column] += centres[(u32)place[row * place_row] * features + column];
    }
}

// All the fills of a replayed step in one launch. A row of the table is a fill:
enum { KIND, FIRST, N, BLOCKS, KEYS, START, OFFSET, P, Q, OUT, ROW, FILL_COLUMNS };
// KIND 0 uniform, 1 normal, 2 mask; FIRST the number of its first thread; P and Q what the kernels
// above have before `out`, as the bits of doubles; the rest as there, pointers as numbers.

__device__ inline real as_real(u64 bits) {
    union {
        u64 bits;
        double number;
    } both = {bits};
    return (real)both.number;
}

KERNEL fill_many(u32 fills, u32 threads, const u64 *table) {
    EACH(i, threads) {
        const u64 *f = table;
        for (u32 k = 1; k < fills && i >= table[k * FILL_COLUMNS + FIRST]; ++k) f += FILL_COLUMNS;
        const u32 blocks = (u32)f[BLOCKS], within = i - (u32)f[FIRST];
        const u32 member = within / blocks, b = within % blocks;
        const u64 *keys = (const u64 *)f[KEYS] + 2 * member;
        const Fill fill = {(u32)f[N], blocks, keys[0], keys[1],
                           position_of((const u64 *)f[START], f[OFFSET])};
        real *out = (real *)f[OUT] + member * f[ROW];
        if (f[KIND] == 0)
            uniform_block(fill, b, as_real(f[P]), as_real(f[Q]), out);
        else if (f[KIND] == 1)
            normal_block(fill, b, as_real(f[P]), as_real(f[Q]), out);
        else
            mask_block(fill, b, (u32)as_real(f[P]), as_real(f[Q]), out);
    }
}

// The end of a replayed step: every stream moves on by what the step drew from it.
KERNEL advance_streams(u32 streams, u64 *starts, const u64 *drawn) {
    EACH(i, streams) starts[i] += drawn[i];
}
