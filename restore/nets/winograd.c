/* 3x3 convolutions of a plain network in whole numbers, by Winograd's F(4x4, 3x3), for x86-64 CPUs with AVX2 and FMA.

A tile of 4x4 results needs 36 products per pair of channels in place of 144 (Lavin and Gray 2016, "Fast algorithms for
convolutional neural networks", matrices B, G, A of section 4.3). Activations are bytes, so that their transform is exact
in 16 bits: its rows sum to at most 10, both ways to 12,750 for inputs of 0 to 255 (the positive part). Weights are
transformed in float64 and rounded to 16 bits elsewhere (winograd.py), in steps that keep the sums inside 32 bits; pairs of
16-bit products are what vpmaddwd adds up, twice as many a cycle as float32 has.

Layouts: activations (rows + 2, columns + 2, channels) bytes, rows and columns rounded up to 4 and a border of zeros all
around; what lies outside the picture stays zero. Weights [block of 16 outputs][36][input pair][16][2] int16.
All functions may run in several threads, each with a scratch of its own. */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define TILES 24 /* worked on together: their transforms stay in a core's second cache */
#define ROWS 6   /* tiles per inner product: 12 sums, 2 weights and an activation fill the 16 registers */
#define POINTS 36
#define VSTRIDE(c) ((int64_t)TILES * (c) + 32)
#define MSTRIDE ((int64_t)TILES * 16 + 16)

/* Which source this was built from: given by the build. */
#ifndef SOURCE
#define SOURCE "unknown"
#endif

EXPORT const char *winograd_source(void) { return SOURCE; }

EXPORT int winograd_runs_here(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* Bytes of scratch that `winograd_body` and `winograd_tail` need. */
EXPORT int64_t winograd_scratch(int channels) {
    return 64 + POINTS * VSTRIDE(channels) * 2 + POINTS * MSTRIDE * 4;
}

static int rounded(int size) { return (size + 3) & ~3; }

/* One row of B^T: six values of 16 channels. */
static inline void transform_in(const __m256i d[6], __m256i v[6]) {
    const __m256i a = _mm256_sub_epi16(d[4], _mm256_slli_epi16(d[2], 2));
    const __m256i b = _mm256_sub_epi16(d[3], _mm256_slli_epi16(d[1], 2));
    const __m256i c = _mm256_sub_epi16(d[4], d[2]);
    const __m256i e = _mm256_slli_epi16(_mm256_sub_epi16(d[3], d[1]), 1);
    v[0] = _mm256_add_epi16(_mm256_slli_epi16(_mm256_sub_epi16(d[0], d[2]), 2), c);
    v[1] = _mm256_add_epi16(a, b);
    v[2] = _mm256_sub_epi16(a, b);
    v[3] = _mm256_add_epi16(c, e);
    v[4] = _mm256_sub_epi16(c, e);
    v[5] = _mm256_sub_epi16(_mm256_sub_epi16(d[5], d[3]), _mm256_slli_epi16(e, 1));
}

/* The tiles from `first` on of one row of tiles -> v[36][TILES][channels]. `row`: the first of six lines, at column 0. */
static void tiles_in(const uint8_t *row, int64_t stride, int first, int count, int channels, int16_t *v) {
    for (int t = 0; t < count; t++) {
        const uint8_t *corner = row + (int64_t)(first + t) * 4 * channels;
        for (int c = 0; c < channels; c += 16) {
            __m256i down[6][6], d[6], out[6];
            for (int x = 0; x < 6; x++) {
                for (int y = 0; y < 6; y++)
                    d[y] = _mm256_cvtepu8_epi16(
                        _mm_loadu_si128((const __m128i *)(corner + y * stride + x * channels + c)));
                transform_in(d, out);
                for (int y = 0; y < 6; y++) down[y][x] = out[y];
            }
            for (int y = 0; y < 6; y++) {
                transform_in(down[y], out);
                for (int x = 0; x < 6; x++)
                    _mm256_storeu_si256((__m256i *)(v + (int64_t)(6 * y + x) * VSTRIDE(channels) + t * channels + c), out[x]);
            }
        }
    }
}

/* v[36][TILES][channels] times the weights of 16 outputs, or of the first 8 of them -> m[36][TILES][16]. */
static inline __attribute__((always_inline)) void multiply(const int16_t *v, const int16_t *weights, int count,
                                                           int channels, int32_t *m, const int halves) {
    const int pairs = channels / 2;
    for (int point = 0; point < POINTS; point++) {
        const int16_t *u = weights + (int64_t)point * channels * 16;
        for (int t = 0; t < count; t += ROWS) {
            const int16_t *in = v + (int64_t)point * VSTRIDE(channels) + t * channels;
            __m256i sum[ROWS][2];
            for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
            for (int p = 0; p < pairs; p++) {
                const __m256i low = _mm256_load_si256((const __m256i *)(u + 32 * p));
                const __m256i high = _mm256_load_si256((const __m256i *)(u + 32 * p + 16));
#pragma GCC unroll 6
                for (int r = 0; r < ROWS; r++) {
                    int32_t pair;
                    memcpy(&pair, in + r * channels + 2 * p, 4);
                    const __m256i both = _mm256_set1_epi32(pair);
                    sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(both, low));
                    if (halves == 2) sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(both, high));
                }
            }
            int32_t *out = m + (int64_t)point * MSTRIDE + t * 16;
            for (int r = 0; r < ROWS; r++) {
                _mm256_store_si256((__m256i *)(out + 16 * r), sum[r][0]);
                if (halves == 2) _mm256_store_si256((__m256i *)(out + 16 * r + 8), sum[r][1]);
            }
        }
    }
}

static void products(const int16_t *v, const int16_t *weights, int count, int channels, int32_t *m) {
    multiply(v, weights, count, channels, m, 2);
}

static void products_of_8(const int16_t *v, const int16_t *weights, int count, int channels, int32_t *m) {
    multiply(v, weights, count, channels, m, 1);
}

/* A^T: six values of 8 outputs -> four. */
static inline void transform_out(const __m256 m[6], __m256 y[4]) {
    const __m256 two = _mm256_set1_ps(2), four = _mm256_set1_ps(4), eight = _mm256_set1_ps(8);
    const __m256 s = _mm256_add_ps(m[1], m[2]), d = _mm256_sub_ps(m[1], m[2]);
    const __m256 t = _mm256_add_ps(m[3], m[4]), e = _mm256_sub_ps(m[3], m[4]);
    y[0] = _mm256_add_ps(_mm256_add_ps(m[0], s), t);
    y[1] = _mm256_fmadd_ps(two, e, d);
    y[2] = _mm256_fmadd_ps(four, t, s);
    y[3] = _mm256_add_ps(_mm256_fmadd_ps(eight, e, d), m[5]);
}

/* m of one tile and 8 outputs -> 4x4 results in float32. `steps`: [36][16] of these outputs. */
static inline void tile_out(const int32_t *m, const float *steps, __m256 bias, __m256 y[4][4]) {
    __m256 down[4][6], in[6], out[4];
    for (int x = 0; x < 6; x++) {
        for (int i = 0; i < 6; i++) {
            const int point = 6 * i + x;
            const __m256i whole = _mm256_load_si256((const __m256i *)(m + (int64_t)point * MSTRIDE));
            in[i] = _mm256_mul_ps(_mm256_cvtepi32_ps(whole), _mm256_loadu_ps(steps + 16 * point));
        }
        transform_out(in, out);
        for (int i = 0; i < 4; i++) down[i][x] = out[i];
    }
    for (int i = 0; i < 4; i++) {
        transform_out(down[i], y[i]);
        for (int x = 0; x < 4; x++) y[i][x] = _mm256_add_ps(y[i][x], bias);
    }
}

/* 16 results as bytes: rounded, and cut off where a byte ends, which is the ReLU too. */
static inline void store(__m256 low, __m256 high, uint8_t *to) {
    const __m256i words =
        _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)), 0xD8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)to, bytes);
}

static int16_t *aligned(void *scratch) { return (int16_t *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63); }

/* Layer of the body: bytes to bytes, ReLU by what a byte cannot hold. `steps` [block of 16][36][16] and `bias`
[outputs] are in steps of the output. */
EXPORT void winograd_body(const uint8_t *in, uint8_t *out, int height, int width, int channels, int outputs,
                          const int16_t *weights, const float *steps, const float *bias, void *scratch) {
    const int across = rounded(width) / 4;
    const int64_t in_stride = (int64_t)(rounded(width) + 2) * channels;
    const int64_t out_stride = (int64_t)(rounded(width) + 2) * outputs;
    int16_t *v = aligned(scratch);
    int32_t *m = (int32_t *)(v + POINTS * VSTRIDE(channels));
    for (int top = 0; top < height; top += 4) {
        const int rows = height - top < 4 ? height - top : 4;
        for (int first = 0; first < across; first += TILES) {
            const int count = across - first < TILES ? across - first : TILES;
            tiles_in(in + top * in_stride, in_stride, first, count, channels, v);
            for (int block = 0; block < outputs / 16; block++) {
                const float *step = steps + (int64_t)block * POINTS * 16;
                products(v, weights + (int64_t)block * POINTS * channels * 16, count, channels, m);
                for (int t = 0; t < count; t++) {
                    __m256 low[4][4], high[4][4];
                    tile_out(m + 16 * t, step, _mm256_loadu_ps(bias + 16 * block), low);
                    tile_out(m + 16 * t + 8, step + 8, _mm256_loadu_ps(bias + 16 * block + 8), high);
                    const int left = 4 * (first + t);
                    const int columns = width - left < 4 ? width - left : 4;
                    uint8_t *corner = out + (top + 1) * out_stride + (int64_t)(left + 1) * outputs + 16 * block;
                    for (int y = 0; y < rows; y++)
                        for (int x = 0; x < columns; x++)
                            store(low[y][x], high[y][x], corner + y * out_stride + x * outputs);
                }
            }
        }
    }
}

/* `most` outputs from number `begin` on of one place -> theirs in the picture. */
static inline void shuffled(__m256 y, float *out, int begin, int most, int scale, int row, int column, int64_t line,
                            int64_t plane) {
    if (scale == 2 && most == 4) {
        float *corner = out + begin / 4 * plane + 2 * row * line + 2 * column;
        const __m128 four = _mm256_castps256_ps128(y);
        _mm_storel_pi((__m64 *)corner, four);
        _mm_storeh_pi((__m64 *)(corner + line), four);
        return;
    }
    float values[8];
    _mm256_storeu_ps(values, y);
    for (int k = 0; k < most; k++) {
        const int number = begin + k, colour = number / (scale * scale);
        const int down = number / scale % scale, right = number % scale;
        out[colour * plane + ((int64_t)row * scale + down) * line + (int64_t)column * scale + right] = values[k];
    }
}

/* The last layer: bytes to float32 (colours, scale * height, scale * width), `outputs` = colours * scale^2 of the
weights' 16 * blocks, laid out as a pixel shuffle does. */
EXPORT void winograd_tail(const uint8_t *in, float *out, int height, int width, int channels, int outputs, int scale,
                          const int16_t *weights, const float *steps, const float *bias, void *scratch) {
    const int across = rounded(width) / 4;
    const int64_t stride = (int64_t)(rounded(width) + 2) * channels;
    const int64_t line = (int64_t)width * scale, plane = line * height * scale;
    int16_t *v = aligned(scratch);
    int32_t *m = (int32_t *)(v + POINTS * VSTRIDE(channels));
    for (int top = 0; top < height; top += 4) {
        const int rows = height - top < 4 ? height - top : 4;
        for (int first = 0; first < across; first += TILES) {
            const int count = across - first < TILES ? across - first : TILES;
            tiles_in(in + top * stride, stride, first, count, channels, v);
            for (int begin = 0; begin < outputs; begin += 8) {
                const int block = begin / 16, half = begin % 16;
                const float *step = steps + (int64_t)block * POINTS * 16 + half;
                if (half == 0)
                    (outputs - begin > 8 ? products : products_of_8)(
                        v, weights + (int64_t)block * POINTS * channels * 16, count, channels, m);
                for (int t = 0; t < count; t++) {
                    __m256 y[4][4];
                    tile_out(m + 16 * t + half, step, _mm256_loadu_ps(bias + begin), y);
                    const int left = 4 * (first + t);
                    const int columns = width - left < 4 ? width - left : 4;
                    const int most = outputs - begin < 8 ? outputs - begin : 8;
                    for (int i = 0; i < rows; i++)
                        for (int x = 0; x < columns; x++)
                            shuffled(y[i][x], out, begin, most, scale, top + i, left + x, line, plane);
                }
            }
        }
    }
}

/* The first layer, in float32: planes (count, height, width) less `mean` each, zeros around them -> bytes as above.
`weights` [count][3][3][outputs] and `bias` are in steps of the output. `padded`: (count, height + 2, width + 2) floats. */
EXPORT void winograd_head(const float *planes, const float *mean, int count, int height, int width, int outputs,
                          const float *weights, const float *bias, float *padded, uint8_t *out) {
    const int64_t line = width + 2, plane = line * (height + 2);
    const int64_t stride = (int64_t)(rounded(width) + 2) * outputs;
    for (int p = 0; p < count; p++) {
        float *to = padded + p * plane;
        memset(to, 0, line * sizeof(float));
        memset(to + (height + 1) * line, 0, line * sizeof(float));
        for (int y = 0; y < height; y++) {
            const float *from = planes + ((int64_t)p * height + y) * width;
            float *row = to + (y + 1) * line;
            row[0] = row[width + 1] = 0;
            for (int x = 0; x < width; x++) row[x + 1] = from[x] - mean[p];
        }
    }
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x += 4) {
            const int columns = width - x < 4 ? width - x : 4;
            for (int k = 0; k < outputs; k += 16) {
                __m256 sum[4][2];
                for (int i = 0; i < 4; i++) {
                    sum[i][0] = _mm256_loadu_ps(bias + k);
                    sum[i][1] = _mm256_loadu_ps(bias + k + 8);
                }
                for (int p = 0; p < count; p++)
                    for (int dy = 0; dy < 3; dy++) {
                        const float *row = padded + p * plane + (y + dy) * line + x;
                        const float *w = weights + (int64_t)(p * 9 + dy * 3) * outputs + k;
                        for (int dx = 0; dx < 3; dx++, w += outputs) {
                            const __m256 low = _mm256_loadu_ps(w), high = _mm256_loadu_ps(w + 8);
#pragma GCC unroll 4
                            for (int i = 0; i < 4; i++) {
                                /* Beyond the line's end: a value that is not kept. */
                                const __m256 value = _mm256_set1_ps(row[(i < columns ? i : 0) + dx]);
                                sum[i][0] = _mm256_fmadd_ps(value, low, sum[i][0]);
                                sum[i][1] = _mm256_fmadd_ps(value, high, sum[i][1]);
                            }
                        }
                    }
                for (int i = 0; i < columns; i++)
                    store(sum[i][0], sum[i][1], out + (y + 1) * stride + (int64_t)(x + i + 1) * outputs + k);
            }
        }
}
