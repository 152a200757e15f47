/* Dropout: the random words by Philox4x32-10 (Salmon et al. 2011), several counters at once in the lanes of
 * integer vectors. The word of an element depends on its position alone, so that any split of the work and
 * any instruction set drop the same elements. */
#include "kernels/nn.h"
#include "kernels/math.h"

typedef uint32_t vu __attribute__((vector_size(4 * CNN_LANES)));
typedef uint64_t vq __attribute__((vector_size(4 * CNN_LANES)));
typedef uint8_t vb __attribute__((vector_size(CNN_LANES)));

/* 16 counters give 64 elements (see cnn_dropout_stream). Two such blocks are done at once: a round of Philox is a chain of
 * few instructions, so two vectors of counters take hardly longer than one. */
enum { COUNTERS = 16, BLOCK = 64, STRETCH = 2 * BLOCK };

/* The 64-bit products of the even lanes with m. */
static inline vq even_products(vu a, uint32_t m) {
#if defined(__AVX512F__)
    return (vq)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi32((int)m));
#elif defined(__AVX2__)
    return (vq)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi32((int)m));
#elif defined(__SSE2__)
    return (vq)_mm_mul_epu32((__m128i)a, _mm_set1_epi32((int)m));
#else
    return ((vq)a & 0xffffffffu) * m;
#endif
}

static inline void products(vu a, uint32_t m, vu *high, vu *low) {
    const uint64_t upper = 0xffffffff00000000u;
    vq even = even_products(a, m), odd = even_products((vu)((vq)a >> 32), m);
    *high = (vu)((even >> 32) | (odd & upper));
    *low = (vu)((even & ~upper) | (odd << 32));
}

/* The four words of the counters first + lane and, in the second vectors, of those that follow. */
static inline void philox(uint64_t key, uint64_t step, uint64_t first, vu word[4][2]) {
    vu lane, c0[2], c1[2], c2[2], c3[2];
    for (int i = 0; i < CNN_LANES; i++) lane[i] = (uint32_t)i;
    for (int i = 0; i < 2; i++, first += CNN_LANES) {
        c0[i] = lane + (uint32_t)first, c1[i] = (lane & 0) + (uint32_t)(first >> 32);
        c2[i] = (lane & 0) + (uint32_t)step, c3[i] = (lane & 0) + (uint32_t)(step >> 32);
    }
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            vu high0, low0, high1, low1;
            products(c0[i], 0xD2511F53u, &high0, &low0);
            products(c2[i], 0xCD9E8D57u, &high1, &low1);
            c0[i] = high1 ^ c1[i] ^ k0;
            c1[i] = low1;
            c2[i] = high0 ^ c3[i] ^ k1;
            c3[i] = low0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 2; i++)
        word[0][i] = c0[i], word[1][i] = c1[i], word[2][i] = c2[i], word[3][i] = c3[i];
}

static inline void put(const cnn_dropout_stream *s, vu word, const float *x, float *y, uint8_t *kept) {
    /* SSE2 and AVX2 compare signed numbers only. */
    const int32_t sign = INT32_MIN;
    vi keep = s->threshold >> 32 ? (vi){0}
                                 : ((vi)word ^ sign) >= (int32_t)((uint32_t)s->threshold ^ (uint32_t)sign);
    v_store(y, v_keep(keep, v_load(x) * s->scale));
    if (kept) {
        vb bytes = __builtin_convertvector(keep & 1, vb);
        memcpy(kept, &bytes, sizeof bytes);
    }
}

/* What some stretches from here will read and write: the processor does not see by itself that it will be wanted, as one
 * stretch takes it long. */
static inline void fetch_ahead(const float *x, const float *y, const uint8_t *kept) {
    enum { AHEAD = 8 * STRETCH, LINE = 64 };
    for (int i = AHEAD; i < AHEAD + STRETCH; i += LINE / (int)sizeof(float)) {
        __builtin_prefetch(x + i);
        __builtin_prefetch(y + i, 1);
    }
    for (int i = AHEAD; kept && i < AHEAD + STRETCH; i += LINE) __builtin_prefetch(kept + i, 1);
}

static void stretch(const cnn_dropout_stream *s, uint64_t number, const float *x, float *y, uint8_t *kept) {
    fetch_ahead(x, y, kept);
    for (int c = 0; c < 2 * COUNTERS; c += 2 * CNN_LANES) {
        vu word[4][2];
        philox(s->key, s->step, number * 2 * COUNTERS + (uint64_t)c, word);
        for (int w = 0; w < 4; w++)
            for (int i = 0; i < 2; i++) {
                int counter = c + i * CNN_LANES;
                int at = counter / COUNTERS * BLOCK + w * COUNTERS + counter % COUNTERS;
                put(s, word[w][i], x + at, y + at, kept ? kept + at : NULL);
            }
    }
}

/* A stretch of which only elements from … to-1 are asked for. */
static void part(const cnn_dropout_stream *s, uint64_t number, int from, int to, const float *x, float *y,
                 uint8_t *kept) {
    float in[STRETCH] = {0}, out[STRETCH];
    uint8_t bytes[STRETCH];
    size_t count = (size_t)(to - from);
    memcpy(in + from, x, count * sizeof *x);
    stretch(s, number, in, out, bytes);
    memcpy(y, out + from, count * sizeof *y);
    if (kept) memcpy(kept, bytes + from, count);
}

void CNN_KERNEL(dropout)(const cnn_dropout_stream *stream, uint64_t position, const float *x, float *y,
                         uint8_t *kept, int64_t n) {
    for (int64_t i = 0; i < n;) {
        uint64_t number = (position + (uint64_t)i) / STRETCH;
        int from = (int)((position + (uint64_t)i) % STRETCH),
            to = n - i < STRETCH - from ? from + (int)(n - i) : STRETCH;
        uint8_t *bytes = kept ? kept + i : NULL;
        if (to - from == STRETCH)
            stretch(stream, number, x + i, y + i, bytes);
        else
            part(stream, number, from, to, x + i, y + i, bytes);
        i += to - from;
    }
}

void CNN_KERNEL(dropout_grad)(float scale, const uint8_t *kept, const float *dy, float *dx, int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] = kept[i] ? dy[i] * scale : 0.0f;
}
