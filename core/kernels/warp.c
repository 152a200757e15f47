/* Affine warps: the picture, thought to go on for ever by the fill rule, seen at points along the lines of the
 * output.
 *
 * A row of the output is a straight line through the input. BLOCK of its points at a time, the cells of four neighbours
 * they are in are found in vectors. Cells beyond the picture are brought into it: where the picture is mirrored or its
 * edge repeated, what is seen is again some cell of it, with other weights. So a pixel is one offset and two weights,
 * and few loads: a pixel and its right neighbour are one vector. What such vectors read too much has to lie in the
 * picture, and what they write too much is overwritten by the pixels after it. The few points for which there is no
 * such cell - at a constant's border, at wrap's seam, at the picture's end - are taken for the nearest one that there
 * is, and painted once more, alone, by the rule itself. Maps from pixels to pixels copy, whole rows where they can.
 *
 * Sums are rounded as they are written here, so all instruction sets give the same bits. */
#include "kernels/nn.h"
#include "kernels/simd.h"
#include "kernels/warp.h"

#include <math.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

/* Points are found by the BLOCK, their places in floats being counted anew after each STRIDE, and painted by the
 * GROUP. */
enum { BLOCK = 64, STRIDE = 16, GROUP = 4 };

/* ---- geometry ------------------------------------------------------------------------------------------ */

typedef struct span {
    int64_t from, to; /* none where to <= from */
} span;

/* The i in [0, count) for which low <= start + step·i <= high. */
static span between(double start, double step, double low, double high, int64_t count) {
    if (!isfinite(step)) return (span){0, 0};
    if (step == 0) return (span){0, start >= low && start <= high ? count : 0};
    double a = (low - start) / step, b = (high - start) / step;
    double first = ceil(a < b ? a : b), last = floor(a < b ? b : a), most = (double)(count - 1);
    if (!(first <= most && last >= 0)) return (span){0, 0};
    return (span){first > 0 ? (int64_t)first : 0, last < most ? (int64_t)last + 1 : count};
}

static span meet(span a, span b) {
    span both = {a.from > b.from ? a.from : b.from, a.to < b.to ? a.to : b.to};
    return both.from < both.to ? both : (span){0, 0};
}

/* Whether every pixel of the output falls on one of the endless input. */
static bool is_whole(const cnn_warp *w) {
    double most = (double)(w->out_width > w->out_height ? w->out_width : w->out_height);
    const double places[] = {w->at.x0, w->at.y0}, steps[] = {w->at.xx, w->at.xy, w->at.yx, w->at.yy};
    for (int i = 0; i < 2; i++)
        if (!(fabs(places[i] - nearbyint(places[i])) < 0x1p-25)) return false;
    for (int i = 0; i < 4; i++)
        if (!(fabs(steps[i] - nearbyint(steps[i])) * most < 0x1p-25)) return false;
    return true;
}

/* One row of the output, on its way through the input. */
typedef struct line {
    double x, y, dx, dy; /* the point at its first pixel, and the step to the next */
} line;

static line line_of(const cnn_affine *at, int64_t y) {
    return (line){at->xy * (double)y + at->x0, at->yy * (double)y + at->y0, at->xx, at->yx};
}

/* ---- a point alone --------------------------------------------------------------------------------------- */

enum { BEYOND = -1 };

/* Which of n pixels is seen at a place of the line that goes on for ever. */
static int64_t seen_at(int64_t place, int64_t n, cnn_fill fill) {
    if (place >= 0 && place < n) return place;
    if (fill == CNN_FILL_CONSTANT) return BEYOND;
    if (fill == CNN_FILL_NEAREST) return place < 0 ? 0 : n - 1;
    int64_t period = fill == CNN_FILL_REFLECT ? 2 * n : n, m = place % period;
    if (m < 0) m += period;
    return m < n ? m : 2 * n - 1 - m;
}

/* No place of a point is further away, and places that are no numbers are this far. */
static double limited(double place) {
    const double most = 0x1p29;
    place = place > -most ? place : -most;
    return place < most ? place : most;
}

typedef struct point {
    int64_t column[2], row[2]; /* or BEYOND, where a constant fills */
    float right, below;
} point;

static void find_axis(double place, int64_t n, bool nearest, cnn_fill fill, int64_t seen[2], float *rest) {
    place = limited(nearest ? place + 0.5 : place);
    double base = floor(place);
    *rest = nearest ? 0 : (float)(place - base);
    seen[0] = seen_at((int64_t)base, n, fill);
    seen[1] = nearest ? seen[0] : seen_at((int64_t)base + 1, n, fill);
}

static void find_point(const cnn_warp *w, const line *l, int64_t x, bool nearest, point *p) {
    find_axis(l->x + l->dx * (double)x, w->in_width, nearest, w->options.fill, p->column, &p->right);
    find_axis(l->y + l->dy * (double)x, w->in_height, nearest, w->options.fill, p->row, &p->below);
}

/* What the code is made for, known when it is compiled, but for other numbers of channels than 1, 3 and 4. */
typedef struct kind {
    bool bytes, nearest;
    int64_t channels;
} kind;

ALWAYS void *element(kind k, const void *base, ptrdiff_t at) {
    return (char *)base + (k.bytes ? at : at * (ptrdiff_t)sizeof(float));
}

ALWAYS float value_at(kind k, const void *in, ptrdiff_t at) {
    return k.bytes ? (float)((const uint8_t *)in)[at] : ((const float *)in)[at];
}

ALWAYS void set_value(kind k, void *out, ptrdiff_t at, float value) {
    if (k.bytes)
        ((uint8_t *)out)[at] = (uint8_t)(value + 0.5f);
    else
        ((float *)out)[at] = value;
}

/* a and b are above c and d. */
ALWAYS float mix(float a, float b, float c, float d, float right, float below) {
    float l = a + below * (c - a), r = b + below * (d - b);
    return l + right * (r - l);
}

ALWAYS float fill_of(const cnn_warp *w, kind k) {
    float value = (float)w->options.value;
    return k.bytes && !(value > 0 && value < 255) ? (value > 0 ? 255.0f : 0.0f) : value;
}

ALWAYS void paint_alone(const cnn_warp *w, kind k, const line *l, const void *in, int64_t x, void *out) {
    point p;
    find_point(w, l, x, k.nearest, &p);
    for (int64_t c = 0; c < k.channels; c++) {
        float v[4];
        for (int n = 0; n < 4; n++) {
            int64_t row = p.row[n / 2], column = p.column[n % 2];
            bool beyond = row == BEYOND || column == BEYOND;
            v[n] = beyond ? fill_of(w, k) : value_at(k, in, (row * w->in_width + column) * k.channels + c);
        }
        set_value(k, out, c, k.nearest ? v[0] : mix(v[0], v[1], v[2], v[3], p.right, p.below));
    }
}

/* ---- points by the block ----------------------------------------------------------------------------------- */

/* The cells points are in: of the neighbours at the upper left, the offset; of those at the right and below, the
 * weights. */
typedef struct block {
    int32_t at[BLOCK];
    float right[BLOCK], below[BLOCK];
    uint64_t odd; /* bits of the points whose cell is another one than the rule's */
} block;

/* Places along one axis of the input: those of STRIDE points at a time in floats, relative to a whole number that is at
 * none's right. */
typedef struct axis {
    double start, step;
    int32_t n, last; /* pixels, and the last cell */
    int32_t base;
    float from;
} axis;

ALWAYS axis axis_of(double start, double step, int64_t n, bool nearest) {
    return (axis){.start = nearest ? start + 0.5 : start,
                  .step = step,
                  .n = (int32_t)n,
                  .last = (int32_t)n - (nearest ? 1 : 2)};
}

ALWAYS void move_to(axis *a, int64_t first) {
    double start = a->start + a->step * (double)first, end = start + a->step * (STRIDE - 1);
    double least = end < start ? end : start;
    a->base = (int32_t)least - (least < 0); /* near enough to its floor */
    a->from = (float)(start - a->base);
}

ALWAYS vi find_cells(const axis *a, int i, vf *rest) {
    static const float numbers[STRIDE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf t = v_load(numbers + i) * v_set1((float)a->step) + v_set1(a->from);
    vi cell = __builtin_convertvector(t, vi);
    *rest = t - __builtin_convertvector(cell, vf);
    return cell + a->base;
}

ALWAYS uint32_t bits_of(vi mask) {
#if defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX__)
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#elif defined(__SSE__)
    return (uint32_t)_mm_movemask_ps((__m128)mask);
#else
    uint32_t bits = 0;
    for (int i = 0; i < CNN_LANES; i++) bits |= (uint32_t)(mask[i] & 1) << i;
    return bits;
#endif
}

ALWAYS vi either(vi mask, vi a, vi b) {
    return (mask & a) | (~mask & b);
}

/* As near as if the cells were whole periods away. */
static vi brought_near(vi cells, int32_t period) {
    for (int i = 0; i < CNN_LANES; i++) {
        int32_t m = cells[i] % period;
        cells[i] = m < 0 ? m + period : m;
    }
    return cells;
}

/* Brings cells into the picture; the mask of those that only come near what is seen. A mirrored cell has its neighbours
 * the other way round; one that begins at -1 or ends at n has one neighbour twice, the first or the last pixel. */
static vi fold(const axis *a, cnn_fill fill, vi *cells, vf *rest) {
    vi c = *cells, odd = {0};
    if (fill == CNN_FILL_REFLECT || fill == CNN_FILL_WRAP) {
        if (bits_of((c < -a->n) | (c >= 2 * a->n)))
            c = brought_near(c, fill == CNN_FILL_REFLECT ? 2 * a->n : a->n);
    }
    vi low = (c < 0), high = (c > a->last);
    if (fill == CNN_FILL_CONSTANT) {
        odd = low | high;
    } else if (fill == CNN_FILL_REFLECT) {
        c = either(low, a->last - a->n - c, either(high, a->last + a->n - c, c));
        *rest = v_select(low | high, 1 - *rest, *rest);
    } else if (fill == CNN_FILL_WRAP) {
        c = either(low, c + a->n, either(c >= a->n, c - a->n, c));
        odd = c > a->last;
    }
    low = (c < 0), high = (c > a->last);
    *cells = either(low, (vi){0}, either(high, a->last - (vi){0}, c));
    *rest = v_select(low, v_set1(0), v_select(high, v_set1(1), *rest));
    return odd;
}

ALWAYS vi beyond(const axis *a, vi cells) {
    typedef uint32_t vu __attribute__((vector_size(sizeof(vi))));
    return (vi)((vu)cells > (uint32_t)a->last);
}

/* Points x to x + count, and some more. No offset is greater than limit. Not inlined: compilers would keep the block in
 * registers, and pick the numbers out of them with more work than loading them takes. */
static __attribute__((noinline)) void find_block(const cnn_warp *w, const line *l, int64_t x, int64_t count,
                                                 bool nearest, int32_t limit, block *b) {
    axis across = axis_of(l->x, l->dx, w->in_width, nearest),
         down = axis_of(l->y, l->dy, w->in_height, nearest);
    int32_t row = (int32_t)(w->in_width * w->channels), channels = (int32_t)w->channels;
    b->odd = 0;
    for (int i = 0; i < count; i += CNN_LANES) {
        if (i % STRIDE == 0) move_to(&across, x + i), move_to(&down, x + i);
        vf right, below;
        vi column = find_cells(&across, i % STRIDE, &right), lower = find_cells(&down, i % STRIDE, &below);
        vi at = lower * row + column * channels;
        if (bits_of(beyond(&across, column) | beyond(&down, lower) | (at > limit))) {
            vi odd = fold(&across, w->options.fill, &column, &right) |
                     fold(&down, w->options.fill, &lower, &below);
            at = lower * row + column * channels;
            odd |= at > limit;
            at = either(at > limit, limit - (vi){0}, at);
            b->odd |= (uint64_t)bits_of(odd) << i;
        }
        memcpy(b->at + i, &at, sizeof at);
        v_store(b->right + i, right);
        v_store(b->below + i, below);
    }
}

/* ---- mixing ------------------------------------------------------------------------------------------------ */

typedef float v4 __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));
typedef uint8_t v4b __attribute__((vector_size(4)));

/* Four bytes as numbers; and back, rounded towards 0. */
ALWAYS v4 from_bytes(const void *in) {
    v4b b;
    memcpy(&b, in, sizeof b);
#if defined(__SSE2__)
    __m128i none = _mm_setzero_si128(), four = _mm_cvtsi32_si128((int32_t)b);
    return _mm_cvtepi32_ps(_mm_unpacklo_epi16(_mm_unpacklo_epi8(four, none), none));
#else
    return __builtin_convertvector(__builtin_convertvector(b, v4i), v4);
#endif
}

ALWAYS void to_bytes(void *out, v4 v) {
#if defined(__SSE2__)
    __m128i whole = _mm_cvttps_epi32(v), words = _mm_packs_epi32(whole, whole);
    int32_t b = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
#else
    v4b b = __builtin_convertvector(__builtin_convertvector(v, v4i), v4b);
#endif
    memcpy(out, &b, sizeof b);
}

ALWAYS v4 load4(kind k, const void *in) {
    v4 v;
    if (k.bytes) return from_bytes(in);
    memcpy(&v, in, sizeof v);
    return v;
}

ALWAYS void store4(kind k, void *out, v4 v) {
    if (k.bytes)
        to_bytes(out, v + 0.5f);
    else
        memcpy(out, &v, sizeof v);
}

#if CNN_LANES == 16

enum { TOGETHER = 4 };

/* Two pixels of three or four channels: each and its right neighbour are a half of the vector. */
ALWAYS vf load_pairs(kind k, const void *in, const int32_t *at) {
    const float *f = in;
    const uint8_t *b = in;
    if (!k.bytes)
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(f + at[0])),
                                  _mm256_loadu_ps(f + at[1]), 1);
    __m128i both = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(b + at[0])),
                                      _mm_loadl_epi64((const __m128i *)(b + at[1])));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(both));
}

ALWAYS vf for_pairs(const float *weights) {
    return _mm512_mask_broadcastss_ps(_mm512_set1_ps(weights[0]), 0xff00, _mm_load_ss(weights + 1));
}

/* They are the first elements of the halves. */
ALWAYS vf mix_two(kind k, const void *upper, const void *lower, const int32_t *at, const float *right,
                  const float *below) {
    vf a = load_pairs(k, upper, at), c = load_pairs(k, lower, at);
    vf l = a + for_pairs(below) * (c - a), r;
    if (k.channels == 3)
        r = __builtin_shufflevector(l, l, 3, 4, 5, 6, 7, 7, 7, 7, 11, 12, 13, 14, 15, 15, 15, 15);
    else
        r = __builtin_shufflevector(l, l, 4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15);
    return l + for_pairs(right) * (r - l);
}

ALWAYS void mix_pixels(kind k, const void *upper, const void *lower, const int32_t *at, const float *right,
                       const float *below, void *out) {
    vf a = mix_two(k, upper, lower, at, right, below);
    vf b = mix_two(k, upper, lower, at + 2, right + 2, below + 2), four;
    if (k.channels == 3)
        four = __builtin_shufflevector(a, b, 0, 1, 2, 8, 9, 10, 16, 17, 18, 24, 25, 26, 26, 26, 26, 26);
    else
        four = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    __mmask16 written = k.channels == 3 ? 0x0fff : 0xffff;
    if (k.bytes)
        _mm_mask_storeu_epi8(out, written, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(four + 0.5f)));
    else
        _mm512_mask_storeu_ps(out, written, four);
}

#else

enum { TOGETHER = 1 };

#if CNN_LANES == 8

ALWAYS vf load_pair(kind k, const void *in) {
    if (!k.bytes) return _mm256_loadu_ps(in);
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(in)));
}

/* A pixel and its right neighbour, each of three or four channels, are one vector. */
ALWAYS void mix_pixels(kind k, const void *upper, const void *lower, const int32_t *at, const float *right,
                       const float *below, void *out) {
    vf a = load_pair(k, element(k, upper, *at)), c = load_pair(k, element(k, lower, *at));
    vf both = a + v_set1(*below) * (c - a);
    v4 l = __builtin_shufflevector(both, both, 0, 1, 2, 3);
    v4 r = k.channels == 3 ? __builtin_shufflevector(both, both, 3, 4, 5, 6)
                           : __builtin_shufflevector(both, both, 4, 5, 6, 7);
    store4(k, out, l + *right * (r - l));
}

#else

/* A pixel of three or four channels, and its right neighbour, are a vector each. */
ALWAYS void mix_pixels(kind k, const void *upper, const void *lower, const int32_t *at, const float *right,
                       const float *below, void *out) {
    v4 a = load4(k, element(k, upper, *at)), b = load4(k, element(k, upper, *at + k.channels));
    v4 c = load4(k, element(k, lower, *at)), d = load4(k, element(k, lower, *at + k.channels));
    v4 l = a + *below * (c - a), r = b + *below * (d - b);
    store4(k, out, l + *right * (r - l));
}

#endif
#endif

/* Of four pixels of one channel, with those at their right. */
ALWAYS void load_singles(kind k, const void *in, const int32_t *at, v4 *left, v4 *right) {
    if (k.bytes) {
        uint16_t p[4]; /* the right one is the upper byte */
        for (int i = 0; i < 4; i++) {
            const uint8_t *b = (const uint8_t *)in + at[i];
            p[i] = (uint16_t)(b[0] | b[1] << 8);
        }
        v4i both = {p[0], p[1], p[2], p[3]};
        *left = __builtin_convertvector(both & 255, v4);
        *right = __builtin_convertvector(both >> 8, v4);
    } else {
        const float *f = in;
        v4 a = {f[at[0]], f[at[0] + 1], f[at[1]], f[at[1] + 1]};
        v4 b = {f[at[2]], f[at[2] + 1], f[at[3]], f[at[3] + 1]};
        *left = __builtin_shufflevector(a, b, 0, 2, 4, 6);
        *right = __builtin_shufflevector(a, b, 1, 3, 5, 7);
    }
}

ALWAYS void mix_singles(kind k, const void *upper, const void *lower, const int32_t *at, const float *right,
                        const float *below, void *out) {
    v4 a, b, c, d, across, down;
    load_singles(k, upper, at, &a, &b);
    load_singles(k, lower, at, &c, &d);
    memcpy(&across, right, sizeof across);
    memcpy(&down, below, sizeof down);
    v4 l = a + down * (c - a), r = b + down * (d - b);
    store4(k, out, l + across * (r - l));
}

ALWAYS void mix_any(kind k, const void *upper, const void *lower, int32_t at, float right, float below,
                    void *out) {
    for (ptrdiff_t c = at; c < at + k.channels; c++)
        set_value(k, out, c - at,
                  mix(value_at(k, upper, c), value_at(k, upper, c + k.channels), value_at(k, lower, c),
                      value_at(k, lower, c + k.channels), right, below));
}

/* ---- copying ----------------------------------------------------------------------------------------------- */

/* Elements of the input read from a pixel on; and copied, three channels going as four. */
ALWAYS int64_t reach(kind k) {
    if (k.channels == 3 || k.channels == 4) return k.nearest ? 4 : 8;
    return k.nearest ? k.channels : 2 * k.channels;
}

ALWAYS void copy_pixels(kind k, const void *in, void *out, int64_t elements) {
    memcpy(out, in, (size_t)elements * (k.bytes ? 1 : sizeof(float)));
}

/* Pixels from in on, to the left, are copied to the right. */
ALWAYS void copy_mirrored(kind k, const void *in, void *out, int64_t count) {
    int64_t i = 0;
    if (k.channels == 1 && !k.bytes) {
        for (; i + 4 <= count; i += 4) {
            v4 four = load4(k, (const float *)in - i - 3);
            store4(k, (float *)out + i, __builtin_shufflevector(four, four, 3, 2, 1, 0));
        }
    } else if (k.channels == 1) {
        for (; i + 8 <= count; i += 8) {
            uint64_t eight;
            memcpy(&eight, (const uint8_t *)in - i - 7, sizeof eight);
            eight = __builtin_bswap64(eight);
            memcpy((uint8_t *)out + i, &eight, sizeof eight);
        }
    } else if (k.channels == 3 && count > 1) {
        copy_pixels(k, in, out, 3);
        for (i = 1; i < count - 1; i++) copy_pixels(k, element(k, in, -3 * i), element(k, out, 3 * i), 4);
    }
    for (; i < count; i++)
        copy_pixels(k, element(k, in, -k.channels * i), element(k, out, k.channels * i), k.channels);
}

/* Where the line keeps to a row of the input, in steps of one pixel, the pixels of it that lie within the picture are
 * copied. Which these are is returned. */
ALWAYS span copy_run(const cnn_warp *w, kind k, const line *l, const void *in, void *out) {
    const span none = {0, 0};
    if (!k.nearest || fabs(l->dx) != 1 || l->dy != 0) return none;
    int64_t step = (int64_t)l->dx, first = (int64_t)floor(limited(l->x + 0.5));
    int64_t row = seen_at((int64_t)floor(limited(l->y + 0.5)), w->in_height, w->options.fill);
    span run = between((double)first, l->dx, 0, (double)(w->in_width - 1), w->out_width);
    if (row == BEYOND || run.to == 0) return none;
    const void *from = element(k, in, (row * w->in_width + first + step * run.from) * k.channels);
    void *to = element(k, out, run.from * k.channels);
    if (step > 0)
        copy_pixels(k, from, to, (run.to - run.from) * k.channels);
    else
        copy_mirrored(k, from, to, run.to - run.from);
    return run;
}

/* ---- pictures ---------------------------------------------------------------------------------------------- */

/* One point, by elements; of the nearest pixel, there is to be room for another one. */
ALWAYS void paint_any(const cnn_warp *w, kind k, const block *b, int i, const void *in, void *out) {
    const void *lower = element(k, in, w->in_width * k.channels);
    if (k.nearest)
        copy_pixels(k, element(k, in, b->at[i]), out, reach(k));
    else
        mix_any(k, in, lower, b->at[i], b->right[i], b->below[i], out);
}

/* The points from i on, with room for as many pixels and another one. */
ALWAYS void paint_group(const cnn_warp *w, kind k, const block *b, int i, const void *in, void *out) {
    const void *lower = element(k, in, w->in_width * k.channels);
    const int32_t *at = b->at + i;
    const float *right = b->right + i, *below = b->below + i;
    if (!k.nearest && k.channels == 1)
        mix_singles(k, in, lower, at, right, below, out);
    else if (!k.nearest && (k.channels == 3 || k.channels == 4))
        for (int p = 0; p < GROUP; p += TOGETHER)
            mix_pixels(k, in, lower, at + p, right + p, below + p, element(k, out, p * k.channels));
    else
        for (int p = 0; p < GROUP; p++) paint_any(w, k, b, i + p, in, element(k, out, p * k.channels));
}

/* The greatest offset of a cell that is read without leaving the picture; below 0 if the picture is too small to be
 * painted by the block, or too large. */
ALWAYS int32_t limit_of(const cnn_warp *w, kind k) {
    int64_t row = w->in_width * k.channels, all = w->in_height * row, least = k.nearest ? 1 : 2;
    if (w->in_width < least || w->in_height < least || all > INT32_MAX) return -1;
    int64_t limit = all - reach(k) - (k.nearest ? 0 : row);
    return limit < 0 ? -1 : (int32_t)limit;
}

/* Only count points, without room for more. */
ALWAYS void paint_last(const cnn_warp *w, kind k, const block *b, int i, const void *in, int64_t count,
                       void *out) {
    float aside[(GROUP + 1) * 4];
    if (k.channels <= 4) {
        paint_group(w, k, b, i, in, aside);
        copy_pixels(k, aside, out, count * k.channels);
    } else {
        for (int p = 0; p < count; p++) paint_any(w, k, b, i + p, in, element(k, out, p * k.channels));
    }
}

/* Whether places, and those a few strides on, are within 32 bits. */
static bool is_near(double start, double step, int64_t count) {
    const double most = 0x1p26;
    return fabs(start) < most && fabs(start + step * (double)count) < most;
}

/* The pixels of a row from x on. */
ALWAYS void paint(const cnn_warp *w, kind k, const line *l, const void *in, int64_t x, int64_t to,
                  void *out) {
    int32_t limit = limit_of(w, k);
    bool by_blocks = limit >= 0 && to - x > 2 && is_near(l->x, l->dx, to) && is_near(l->y, l->dy, to);
    for (int64_t count; by_blocks && x < to; x += count) {
        block b;
        void *here = element(k, out, x * k.channels);
        count = to - x < BLOCK ? to - x : BLOCK;
        find_block(w, l, x, count, k.nearest, limit, &b);
        int i = 0;
        for (; x + i + GROUP < to && i < BLOCK; i += GROUP)
            paint_group(w, k, &b, i, in, element(k, here, i * k.channels));
        if (i < BLOCK) paint_last(w, k, &b, i, in, count - i, element(k, here, i * k.channels));
        for (uint64_t odd = b.odd & ~0ull >> (64 - count); odd; odd &= odd - 1) {
            i = __builtin_ctzll(odd);
            paint_alone(w, k, l, in, x + i, element(k, here, i * k.channels));
        }
    }
    for (; x < to; x++) paint_alone(w, k, l, in, x, element(k, out, x * k.channels));
}

ALWAYS void fill_pixels(kind k, float value, void *out, int64_t from, int64_t to) {
    for (int64_t i = from * k.channels; i < to * k.channels; i++) set_value(k, out, i, value);
}

/* Pixels of the line that see more than a constant. */
static span seen_span(const cnn_warp *w, const line *l) {
    if (w->options.fill != CNN_FILL_CONSTANT) return (span){0, w->out_width};
    return meet(between(l->x, l->dx, -1, (double)w->in_width, w->out_width),
                between(l->y, l->dy, -1, (double)w->in_height, w->out_width));
}

/* Rows of a picture that were asked for, so that they come from memory while others are painted: hardware does not foresee
 * slanted lines. */
typedef struct fetched {
    int64_t from, to;
} fetched;

static void fetch_rows(const char *in, int64_t row_bytes, int64_t from, int64_t to) {
    for (int64_t at = from * row_bytes; at < to * row_bytes; at += 64) __builtin_prefetch(in + at, 0, 2);
}

/* The rows that the line sees, and some on either side, as far as they have not been asked for. */
static void fetch_ahead(const cnn_warp *w, const line *l, const char *in, int64_t row_bytes, fetched *f) {
    enum { AHEAD = 12 };
    double start = limited(l->y), end = limited(l->y + l->dy * (double)w->out_width);
    int64_t low = (int64_t)fmin(start, end) - AHEAD, high = (int64_t)fmax(start, end) + AHEAD;
    low = low < 0 ? 0 : low < w->in_height ? low : w->in_height;
    high = high < low ? low : high < w->in_height ? high : w->in_height;
    if (f->to == f->from) *f = (fetched){low, low};
    if (low < f->from) {
        fetch_rows(in, row_bytes, low, f->from);
        f->from = low;
    }
    if (high > f->to) {
        fetch_rows(in, row_bytes, f->to, high);
        f->to = high;
    }
}

ALWAYS void warp_kind(const cnn_warp *w, kind k, const void *in, void *out) {
    float fill = fill_of(w, k);
    int64_t row_bytes = w->in_width * k.channels * (k.bytes ? 1 : (int64_t)sizeof(float));
    fetched asked_for = {0};
    for (int64_t y = 0; y < w->out_height; y++) {
        void *row = element(k, out, y * w->out_width * k.channels);
        line l = line_of(&w->at, y);
        span seen = seen_span(w, &l);
        fetch_ahead(w, &l, in, row_bytes, &asked_for);
        fill_pixels(k, fill, row, 0, seen.from);
        span copied = meet(copy_run(w, k, &l, in, row), seen);
        if (copied.to == 0) copied = (span){seen.to, seen.to};
        paint(w, k, &l, in, seen.from, copied.from, row);
        paint(w, k, &l, in, copied.to, seen.to, row);
        fill_pixels(k, fill, row, seen.to, w->out_width);
    }
}

ALWAYS void warp_channels(const cnn_warp *w, bool bytes, bool nearest, const void *in, void *out) {
    if (w->channels == 1)
        warp_kind(w, (kind){bytes, nearest, 1}, in, out);
    else if (w->channels == 3)
        warp_kind(w, (kind){bytes, nearest, 3}, in, out);
    else if (w->channels == 4)
        warp_kind(w, (kind){bytes, nearest, 4}, in, out);
    else
        warp_kind(w, (kind){bytes, nearest, w->channels}, in, out);
}

/* The warp with the map it stands for: of whole ones, the whole numbers, each pixel the nearest. */
static cnn_warp exact(const cnn_warp *w) {
    cnn_warp e = *w;
    if (!is_whole(w)) return e;
    e.options.method = CNN_NEAREST;
    e.at = (cnn_affine){nearbyint(w->at.xx), nearbyint(w->at.xy), nearbyint(w->at.x0),
                        nearbyint(w->at.yx), nearbyint(w->at.yy), nearbyint(w->at.y0)};
    return e;
}

void CNN_KERNEL(warp)(const cnn_warp *w, const float *in, float *out) {
    cnn_warp e = exact(w);
    if (e.options.method == CNN_NEAREST)
        warp_channels(&e, false, true, in, out);
    else
        warp_channels(&e, false, false, in, out);
}

void CNN_KERNEL(warp_u8)(const cnn_warp *w, const uint8_t *in, uint8_t *out) {
    cnn_warp e = exact(w);
    if (e.options.method == CNN_NEAREST)
        warp_channels(&e, true, true, in, out);
    else
        warp_channels(&e, true, false, in, out);
}

/* ---- gradients --------------------------------------------------------------------------------------------- */

static void add_scaled(const cnn_warp *w, float *to, int64_t row, int64_t column, const float *from,
                       float scale) {
    if (row == BEYOND || column == BEYOND || scale == 0) return;
    to += (row * w->in_width + column) * w->channels;
    for (int64_t c = 0; c < w->channels; c++) to[c] += scale * from[c];
}

void CNN_KERNEL(warp_grad)(const cnn_warp *w, const float *grad_out, float *grad_in) {
    cnn_warp e = exact(w);
    bool nearest = e.options.method == CNN_NEAREST;
    int64_t n = e.channels;
    memset(grad_in, 0, (size_t)(e.in_height * e.in_width * n) * sizeof *grad_in);
    for (int64_t y = 0; y < e.out_height; y++) {
        line l = line_of(&e.at, y);
        span seen = seen_span(&e, &l);
        const float *from = grad_out + (y * e.out_width + seen.from) * n;
        for (int64_t x = seen.from; x < seen.to; x++, from += n) {
            point p;
            find_point(&e, &l, x, nearest, &p);
            add_scaled(&e, grad_in, p.row[0], p.column[0], from, (1 - p.right) * (1 - p.below));
            add_scaled(&e, grad_in, p.row[0], p.column[1], from, p.right * (1 - p.below));
            add_scaled(&e, grad_in, p.row[1], p.column[0], from, (1 - p.right) * p.below);
            add_scaled(&e, grad_in, p.row[1], p.column[1], from, p.right * p.below);
        }
    }
}
