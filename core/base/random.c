/* Random numbers from Philox4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011.
 *
 * A generator's counter counts blocks of four 32-bit words; block b of stream `key` is Philox(key, 0, b). A
 * function that fills `count` numbers advances the counter by ceil(count / 4): number i comes from word i % 4
 * of block counter + i / 4. Where a number must be drawn again (beyond two standard deviations, or in the
 * biased rest of an integer range), attempt t takes the four words of Philox(key, 4·t + i % 4, block). So
 * every number is a function of key, counter and position alone, and big fills run in parallel with the same
 * result. Blocks with a high half of all ones make the keys of split generators. */
#include "base/random.h"
#include "base/parallel.h"

#include <math.h>
#include <pthread.h>
#include <sys/random.h>
#include <time.h>

void cnn_philox(uint64_t key, uint64_t counter_high, uint64_t counter_low, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p = UINT64_C(0xD2511F53) * c0, q = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)q;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* ---- generators -------------------------------------------------------------------------------------- */

static cnn_random default_random;
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void seed_from_system(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    default_random = (cnn_random){.key = seed, .counter = 0};
}

static _Thread_local cnn_random *own_default;

cnn_random *cnn_use_random(cnn_random *random) {
    cnn_random *before = own_default;
    own_default = random;
    return before;
}

bool cnn_random_is_own(void) {
    return own_default;
}

cnn_random *cnn_default_random(void) {
    if (own_default) return own_default;
    pthread_once(&seeded, seed_from_system);
    return &default_random;
}

void cnn_set_seed(uint64_t seed) {
    *cnn_default_random() = (cnn_random){.key = seed, .counter = 0};
}

static cnn_random *or_default(cnn_random *random) {
    return random ? random : cnn_default_random();
}

cnn_random cnn_random_split(cnn_random *parent) {
    uint32_t words[4];
    parent = or_default(parent);
    cnn_philox(parent->key, UINT64_MAX, parent->counter++, words);
    return (cnn_random){.key = (uint64_t)words[1] << 32 | words[0], .counter = 0};
}

uint64_t cnn_random_bits(cnn_random *random) {
    uint32_t words[4];
    random = or_default(random);
    cnn_philox(random->key, 0, random->counter++, words);
    return (uint64_t)words[1] << 32 | words[0];
}

/* ---- filling ----------------------------------------------------------------------------------------- */

enum { SIDE = 8 };

/* SIDE blocks at once: one alone would spend its time waiting for its multiplications. */
static void philox_side_by_side(uint64_t key, uint64_t counter, uint32_t out[SIDE][4]) {
    uint32_t c[4][SIDE];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < SIDE; i++) {
        c[0][i] = (uint32_t)(counter + (uint64_t)i);
        c[1][i] = (uint32_t)((counter + (uint64_t)i) >> 32);
        c[2][i] = c[3][i] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < SIDE; i++) {
            uint64_t p = UINT64_C(0xD2511F53) * c[0][i], q = UINT64_C(0xCD9E8D57) * c[2][i];
            c[0][i] = (uint32_t)(q >> 32) ^ c[1][i] ^ k0;
            c[1][i] = (uint32_t)q;
            c[2][i] = (uint32_t)(p >> 32) ^ c[3][i] ^ k1;
            c[3][i] = (uint32_t)p;
        }
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    for (int i = 0; i < SIDE; i++)
        for (int k = 0; k < 4; k++) out[i][k] = c[k][i];
}

/* What a distribution makes of one block: `words` become out[0] … out[n-1]. */
typedef struct fill fill;
typedef void fill_block(const fill *f, uint64_t block, const uint32_t words[4], void *out, int n);

struct fill {
    uint64_t key, counter;
    int64_t count;
    fill_block *make;
    char *out;
    int64_t element; /* bytes of one number */
    double a, b;     /* low and high, mean and standard deviation, … */
    uint64_t range;  /* of integers, or the bound of bernoulli */
};

static void fill_range(void *context, int64_t from, int64_t to) {
    const fill *f = context;
    uint32_t words[SIDE][4];
    for (int64_t block = from; block < to; block++) {
        int64_t side = (block - from) % SIDE, left = f->count - 4 * block;
        if (side == 0) philox_side_by_side(f->key, f->counter + (uint64_t)block, words);
        f->make(f, f->counter + (uint64_t)block, words[side], f->out + 4 * block * f->element,
                left < 4 ? (int)left : 4);
    }
}

static void run(fill f, cnn_random *random) {
    enum { GRAIN = 4096 };
    if (f.count <= 0) return;
    random = or_default(random);
    f.key = random->key;
    f.counter = random->counter;
    int64_t blocks = (f.count + 3) / 4;
    random->counter += (uint64_t)blocks;
    cnn_parallel_ranges(blocks, GRAIN, fill_range, &f);
}

/* ---- distributions ----------------------------------------------------------------------------------- */

static void uniform_block(const fill *f, uint64_t block, const uint32_t words[4], void *out, int n) {
    float *x = out;
    float high = (float)f->b;
    (void)block;
    for (int i = 0; i < n; i++) {
        double unit = (words[i] >> 8) * 0x1p-24;
        float value = (float)(f->a + unit * (f->b - f->a));
        if (value >= high && f->a < f->b)
            value = nextafterf(high, (float)f->a); /* rounding reached the end */
        x[i] = value;
    }
}

void cnn_random_uniform(cnn_random *random, float *out, int64_t count, float low, float high) {
    run((fill){.count = count,
               .make = uniform_block,
               .out = (char *)out,
               .element = sizeof *out,
               .a = (double)low,
               .b = (double)high},
        random);
}

/* Four standard normal numbers, by Box and Muller from two pairs; the radius comes from a number in (0, 1].
 */
static void four_normals(const uint32_t words[4], float z[4]) {
    for (int i = 0; i < 4; i += 2) {
        float unit = ((float)words[i] + 0.5f) * 0x1p-32f;
        float radius = sqrtf(-2 * logf(unit)), angle = (float)(words[i + 1] >> 8) * (6.28318531f * 0x1p-24f);
        z[i] = radius * cosf(angle);
        z[i + 1] = radius * sinf(angle);
    }
}

static void normal_block(const fill *f, uint64_t block, const uint32_t words[4], void *out, int n) {
    float z[4], *x = out;
    (void)block;
    four_normals(words, z);
    for (int i = 0; i < n; i++) x[i] = (float)(f->a + f->b * (double)z[i]);
}

void cnn_random_normal(cnn_random *random, float *out, int64_t count, float mean, float stddev) {
    run((fill){.count = count,
               .make = normal_block,
               .out = (char *)out,
               .element = sizeof *out,
               .a = (double)mean,
               .b = (double)stddev},
        random);
}

static float redrawn_normal(uint64_t key, uint64_t block, int lane) {
    for (uint64_t attempt = 1;; attempt++) {
        uint32_t words[4];
        float z[4];
        cnn_philox(key, 4 * attempt + (uint64_t)lane, block, words);
        four_normals(words, z);
        for (int i = 0; i < 4; i++)
            if (fabsf(z[i]) <= 2) return z[i];
    }
}

static void truncated_block(const fill *f, uint64_t block, const uint32_t words[4], void *out, int n) {
    float z[4], *x = out;
    four_normals(words, z);
    for (int i = 0; i < n; i++) {
        if (fabsf(z[i]) > 2) z[i] = redrawn_normal(f->key, block, i);
        x[i] = (float)(f->a + f->b * (double)z[i]);
    }
}

void cnn_random_truncated_normal(cnn_random *random, float *out, int64_t count, float mean, float stddev) {
    run((fill){.count = count,
               .make = truncated_block,
               .out = (char *)out,
               .element = sizeof *out,
               .a = (double)mean,
               .b = (double)stddev},
        random);
}

/* An integer in [0, range), range ≤ 2^32, from a word and, rarely, more of them: D. Lemire, "Fast random
 * integer generation in an interval", ACM TOMACS 29 (2019). */
static uint32_t bounded(uint64_t key, uint64_t block, int lane, uint32_t word, uint64_t range) {
    uint64_t product = word * range;
    if ((uint32_t)product >= range) return (uint32_t)(product >> 32);
    uint64_t threshold = (UINT64_C(1) << 32) % range;
    for (uint64_t attempt = 1; (uint32_t)product < threshold; attempt++) {
        uint32_t words[4];
        cnn_philox(key, 4 * attempt + (uint64_t)lane, block, words);
        for (int i = 0; i < 4 && (uint32_t)product < threshold; i++) product = words[i] * range;
    }
    return (uint32_t)(product >> 32);
}

static void integers_block(const fill *f, uint64_t block, const uint32_t words[4], void *out, int n) {
    int32_t *x = out;
    for (int i = 0; i < n; i++)
        x[i] = (int32_t)((int64_t)f->a + bounded(f->key, block, i, words[i], f->range));
}

/* Of an empty range every number is low. */
void cnn_random_integers(cnn_random *random, int32_t *out, int64_t count, int32_t low, int32_t high) {
    run((fill){.count = count,
               .make = integers_block,
               .out = (char *)out,
               .element = sizeof *out,
               .a = low,
               .range = high > low ? (uint64_t)((int64_t)high - low) : 1},
        random);
}

static void bernoulli_block(const fill *f, uint64_t block, const uint32_t words[4], void *out, int n) {
    uint8_t *x = out;
    (void)block;
    for (int i = 0; i < n; i++) x[i] = words[i] < f->range;
}

void cnn_random_bernoulli(cnn_random *random, uint8_t *out, int64_t count, float probability) {
    double bound = probability > 0 ? probability < 1 ? (double)probability * 0x1p32 : 0x1p32 : 0;
    run((fill){.count = count,
               .make = bernoulli_block,
               .out = (char *)out,
               .element = 1,
               .range = (uint64_t)bound},
        random);
}

/* Fisher and Yates: number i is exchanged with one at or before it, for i from the last down. */
void cnn_random_permutation(cnn_random *random, int32_t *out, int32_t count) {
    if (count <= 0) return;
    random = or_default(random);
    uint32_t words[4];
    for (int32_t i = 0; i < count; i++) out[i] = i;
    for (int32_t done = 0; done < count; done++) {
        int32_t i = count - 1 - done;
        uint64_t block = random->counter + (uint64_t)(done / 4);
        if (done % 4 == 0) cnn_philox(random->key, 0, block, words);
        uint32_t j = bounded(random->key, block, done % 4, words[done % 4], (uint64_t)i + 1);
        int32_t other = out[j];
        out[j] = out[i];
        out[i] = other;
    }
    random->counter += ((uint64_t)count + 3) / 4;
}
