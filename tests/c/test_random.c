/* Random numbers: known answers, ranges, moments, and the same bits however they are drawn. */
#include "tensor_test.h"
#include "base/random.h"

#include <stdlib.h>

enum { MANY = 400000 };

/* Random123's kat_vectors, philox4x32 10. */
static void philox_gives_the_known_answers(void **state) {
    (void)state;
    const struct {
        uint64_t key, high, low;
        uint32_t words[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t words[4];
        cnn_philox(known[i].key, known[i].high, known[i].low, words);
        for (int k = 0; k < 4; k++) assert_int_equal(words[k], known[i].words[k]);
    }
}

typedef struct moments {
    double mean, deviation, least, greatest;
} moments;

static moments moments_of(const float *x, int64_t n) {
    moments m = {0, 0, INFINITY, -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        m.mean += (double)x[i] / (double)n;
        m.least = fmin(m.least, (double)x[i]);
        m.greatest = fmax(m.greatest, (double)x[i]);
    }
    for (int64_t i = 0; i < n; i++)
        m.deviation += ((double)x[i] - m.mean) * ((double)x[i] - m.mean) / (double)n;
    m.deviation = sqrt(m.deviation);
    return m;
}

static void assert_close(double got, double want, double tolerance) {
    if (fabs(got - want) > tolerance) print_error("%g is not %g\n", got, want);
    assert_true(fabs(got - want) <= tolerance);
}

static void uniform_numbers_fill_their_range(void **state) {
    (void)state;
    cnn_random random = {.key = 1};
    float *x = malloc(MANY * sizeof *x);
    cnn_random_uniform(&random, x, MANY, -2, 4);
    moments m = moments_of(x, MANY);
    assert_close(m.mean, 1, 0.01);
    assert_close(m.deviation, 6 / sqrt(12), 0.01);
    assert_true(m.least >= -2 && m.least < -1.999);
    assert_true(m.greatest < 4 && m.greatest > 3.999);
    free(x);
}

/* Between neighbours near 1e8, rounding would give the upper end half of the time. */
static void uniform_numbers_never_reach_high(void **state) {
    (void)state;
    cnn_random random = {.key = 2};
    float x[4096];
    cnn_random_uniform(&random, x, 4096, 1e8f, 1e8f + 8);
    for (int i = 0; i < 4096; i++) assert_true(x[i] == 1e8f);
    cnn_random_uniform(&random, x, 4096, -3e38f, 3e38f);
    for (int i = 0; i < 4096; i++) assert_true(isfinite(x[i]));
    cnn_random_uniform(&random, x, 4, 5, 5);
    assert_true(x[0] == 5);
}

static void normal_numbers_have_their_moments(void **state) {
    (void)state;
    cnn_random random = {.key = 3};
    float *x = malloc(MANY * sizeof *x);
    cnn_random_normal(&random, x, MANY, 5, 2);
    moments m = moments_of(x, MANY);
    assert_close(m.mean, 5, 0.02);
    assert_close(m.deviation, 2, 0.02);
    assert_true(m.greatest > 5 + 2 * 4 && m.least < 5 - 2 * 4); /* beyond four deviations: 6e-5 of them */
    int64_t within = 0;
    for (int64_t i = 0; i < MANY; i++) within += fabsf(x[i] - 5) < 2;
    assert_close((double)within / MANY, 0.6827, 0.005);
    free(x);
}

static void truncated_normal_numbers_stay_within_two_deviations(void **state) {
    (void)state;
    cnn_random random = {.key = 4};
    float *x = malloc(MANY * sizeof *x);
    cnn_random_truncated_normal(&random, x, MANY, 1, 0.5f);
    moments m = moments_of(x, MANY);
    assert_close(m.mean, 1, 0.005);
    assert_close(m.deviation, 0.5 * 0.87962566, 0.005);
    assert_true(m.least >= 0 && m.greatest <= 2);
    free(x);
}

static void integers_are_even_over_their_range(void **state) {
    (void)state;
    cnn_random random = {.key = 5};
    int32_t *x = malloc(MANY * sizeof *x);
    int64_t count[7] = {0};
    cnn_random_integers(&random, x, MANY, -3, 4);
    for (int64_t i = 0; i < MANY; i++) {
        assert_true(x[i] >= -3 && x[i] < 4);
        count[x[i] + 3]++;
    }
    for (int k = 0; k < 7; k++) assert_close((double)count[k] / MANY, 1.0 / 7, 0.003);
    /* 3/4 of 2^32: a quarter of the words must be drawn again, or the lower values come twice as often */
    cnn_random_integers(&random, x, MANY, INT32_MIN, 1 << 30);
    int64_t low = 0;
    for (int64_t i = 0; i < MANY; i++) low += x[i] < INT32_MIN + (1 << 30);
    assert_close((double)low / MANY, 1.0 / 3, 0.005);
    cnn_random_integers(&random, x, 1, 9, 9);
    assert_int_equal(x[0], 9);
    cnn_random_integers(&random, x, 100, INT32_MIN, INT32_MAX);
    free(x);
}

static void bernoulli_keeps_its_probability(void **state) {
    (void)state;
    cnn_random random = {.key = 6};
    uint8_t *x = malloc(MANY);
    const float probabilities[] = {-1, 0, 0.3f, 1, 2, NAN};
    const double expected[] = {0, 0, 0.3, 1, 1, 0};
    for (int k = 0; k < 6; k++) {
        int64_t ones = 0;
        cnn_random_bernoulli(&random, x, MANY, probabilities[k]);
        for (int64_t i = 0; i < MANY; i++) ones += x[i];
        assert_close((double)ones / MANY, expected[k], k == 2 ? 0.005 : 0);
    }
    free(x);
}

static void a_permutation_has_every_number_once(void **state) {
    (void)state;
    cnn_random random = {.key = 7};
    int32_t x[1001];
    bool seen[1001] = {false};
    cnn_random_permutation(&random, x, 1001);
    for (int i = 0; i < 1001; i++) {
        assert_in_range(x[i], 0, 1000);
        assert_false(seen[x[i]]);
        seen[x[i]] = true;
    }
    int count[6] = {0};
    for (int i = 0; i < 60000; i++) { /* each of the 3! orders as often */
        cnn_random_permutation(&random, x, 3);
        count[x[0] * 2 + (x[1] > x[2])]++;
    }
    for (int k = 0; k < 6; k++) assert_close(count[k] / 60000.0, 1.0 / 6, 0.006);
    cnn_random_permutation(&random, x, 0);
    cnn_random_permutation(&random, x, 1);
    assert_int_equal(x[0], 0);
}

typedef void draw(cnn_random *random, float *out, int64_t count, float a, float b);

/* Number i of a fill depends on i alone: a long fill begins with a short one, and threads change nothing. */
static void positions_decide(void **state) {
    (void)state;
    draw *const draws[] = {cnn_random_uniform, cnn_random_normal, cnn_random_truncated_normal};
    float *one = malloc(MANY * sizeof *one), *many = malloc(MANY * sizeof *many), few[1003];
    int threads = cnn_threads();
    for (int d = 0; d < 3; d++) {
        cnn_random a = {.key = 8, .counter = 100}, b = a, c = a, e = a;
        cnn_set_threads(1);
        draws[d](&a, one, MANY, 0, 1);
        cnn_set_threads(4);
        draws[d](&b, many, MANY, 0, 1);
        draws[d](&c, few, 1003, 0, 1);
        assert_memory_equal(one, many, MANY * sizeof *one);
        assert_memory_equal(one, few, sizeof few);
        assert_int_equal(a.counter, 100 + MANY / 4);
        assert_int_equal(c.counter, 100 + 251);
        draws[d](&e, few, 1000, 0, 1);
        draws[d](&e, few, 1000, 0, 1); /* goes on where the first ended */
        assert_memory_equal(one + 1000, few, 1000 * sizeof *few);
    }
    cnn_set_threads(threads);
    free(one);
    free(many);
}

static void a_seed_repeats_everything(void **state) {
    (void)state;
    float a[100], b[100], c[100];
    cnn_set_seed(42);
    cnn_random_uniform(NULL, a, 100, 0, 1);
    cnn_random split = cnn_random_split(NULL);
    uint64_t bits = cnn_random_bits(NULL);
    cnn_set_seed(42);
    cnn_random_uniform(cnn_default_random(), b, 100, 0, 1);
    cnn_random again = cnn_random_split(cnn_default_random());
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(split.key, again.key);
    assert_int_equal(bits, cnn_random_bits(NULL));
    cnn_set_seed(43);
    cnn_random_uniform(NULL, c, 100, 0, 1);
    assert_memory_not_equal(a, c, sizeof a);
}

static void splits_differ(void **state) {
    (void)state;
    cnn_random parent = {.key = 9};
    uint64_t keys[1000];
    for (int i = 0; i < 1000; i++) {
        cnn_random child = cnn_random_split(&parent);
        assert_int_equal(child.counter, 0);
        keys[i] = child.key;
        for (int k = 0; k < i; k++) assert_true(keys[k] != keys[i]);
    }
    assert_int_equal(parent.counter, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(uniform_numbers_fill_their_range),
        cmocka_unit_test(uniform_numbers_never_reach_high),
        cmocka_unit_test(normal_numbers_have_their_moments),
        cmocka_unit_test(truncated_normal_numbers_stay_within_two_deviations),
        cmocka_unit_test(integers_are_even_over_their_range),
        cmocka_unit_test(bernoulli_keeps_its_probability),
        cmocka_unit_test(a_permutation_has_every_number_once),
        cmocka_unit_test(positions_decide),
        cmocka_unit_test(a_seed_repeats_everything),
        cmocka_unit_test(splits_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
