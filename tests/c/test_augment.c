/* Pipelines of random changes: what each step does, that merged steps are one warp, that results depend on the seed
 * alone, and what is refused. */
#include "tensor_test.h"
#include "image/warp.h"

#include <stdlib.h>

static cnn_tensor *sample(cnn_dtype dtype, int64_t count, int64_t height, int64_t width, int64_t channels) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, dtype, SHAPE(count, height, width, channels)));
    for (int64_t i = 0; i < t->size; i++) cnn_tensor_set(t, i, (double)((i * 7919 + i / 13 * 31) % 256));
    return t;
}

static cnn_tensor *apply(const char *steps, const cnn_tensor *images, uint64_t seed) {
    cnn_augment *augment = NULL;
    cnn_tensor *out = NULL;
    cnn_random random = {seed, 0};
    OK(cnn_augment_new(&augment, steps));
    OK(cnn_augment_apply(&out, NULL, augment, images, NULL, &random));
    cnn_augment_release(augment);
    return out;
}

static void assert_same(cnn_tensor *a, cnn_tensor *b) {
    assert_true(cnn_same_shape(a, b));
    assert_int_equal(a->dtype, b->dtype);
    assert_memory_equal(a->data, b->data, cnn_tensor_bytes(a));
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

static void assert_near(cnn_tensor *a, cnn_tensor *b, double tolerance) {
    bool close = false;
    assert_true(cnn_same_shape(a, b));
    OK(cnn_allclose(&close, a, b, 0, tolerance));
    assert_true(close);
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

#define STEP(name, config) "[{\"class_name\": \"" name "\", \"config\": {" config "}}]"

/* ---- warps --------------------------------------------------------------------------------------------- */

static void a_flip_mirrors_half_of_the_pictures_exactly(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_FLOAT32, 400, 3, 5, 1), *mirrored = NULL;
    OK(cnn_flip(&mirrored, t, 2));
    cnn_tensor *out = apply(STEP("flip", ""), t, 3);
    int flips = 0;
    for (int64_t n = 0; n < 400; n++) {
        const float *got = cnn_f32(out) + n * 15;
        bool flipped = memcmp(got, cnn_f32(mirrored) + n * 15, 15 * sizeof *got) == 0;
        assert_true(flipped || memcmp(got, cnn_f32(t) + n * 15, 15 * sizeof *got) == 0);
        flips += flipped;
    }
    assert_true(flips > 160 && flips < 240); /* four deviations */
    cnn_tensor_release(out);
    assert_same(apply(STEP("flip", "\"probability\": 1"), t, 4), mirrored);
    assert_same(apply(STEP("flip", "\"mode\": \"vertical\", \"probability\": 0"), t, 4), t);
}

static void fixed_ranges_do_what_they_say(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(3, 3, 1), 1, 2, 3, 4, 5, 6, 7, 8, 9);
    cnn_tensor *turned = apply(STEP("rotate", "\"degrees\": [90, 90]"), t, 1);
    EXPECT(turned, CNN_UINT8, SHAPE(3, 3, 1), 3, 6, 9, 2, 5, 8, 1, 4, 7); /* counter-clockwise */
    cnn_tensor *moved =
        apply(STEP("shift", "\"height\": [1, 1], \"width\": [-2, -2], \"fill_mode\": \"constant\""), t, 1);
    EXPECT(moved, CNN_UINT8, SHAPE(3, 3, 1), 0, 0, 0, 3, 0, 0, 6, 0, 0);
    cnn_tensor *third = apply(STEP("shift", "\"width\": [0.3333333333333, 0.3333333333333]"), t, 1);
    EXPECT(third, CNN_UINT8, SHAPE(3, 3, 1), 1, 1, 2, 4, 4, 5, 7, 7, 8);
    cnn_tensor *large = apply(STEP("zoom", "\"range\": [2, 2], \"uniform\": true"), t, 1);
    EXPECT(large, CNN_UINT8, SHAPE(3, 3, 1), 3, 4, 4, 5, 5, 6, 6, 7, 7);
    cnn_tensor *leaning = apply(STEP("shear", "\"degrees\": [45, 45], \"fill_mode\": \"constant\""), t, 1);
    EXPECT(leaning, CNN_UINT8, SHAPE(3, 3, 1), 0, 1, 2, 4, 5, 6, 8, 9, 0);
    cnn_tensor_release(t);
}

static void neighbouring_steps_are_one_warp(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_FLOAT32, 2, 21, 17, 3), *want = NULL;
    cnn_affine at = cnn_affine_compose(cnn_affine_rotation(30 * 3.14159265358979323846 / 180),
                                       cnn_affine_translation(3, 2));
    at = cnn_affine_centred(cnn_affine_compose(at, cnn_affine_scale(-1.25, 1.25)), 21, 17);
    OK(cnn_image_warp(&want, t, &at, 1, 0, 0, &(cnn_warp_options){CNN_BILINEAR, CNN_FILL_CONSTANT, 7}));
    assert_near(
        apply("[{\"class_name\": \"rotate\", \"config\": {\"degrees\": [30, 30], \"fill_mode\": \"wrap\"}},"
              "{\"class_name\": \"shift\", \"config\": {\"height\": [2, 2], \"width\": [3, 3], "
              "\"fill_mode\": \"constant\", \"fill_value\": 7}},"
              "{\"class_name\": \"zoom\", \"config\": {\"range\": [1.25, 1.25]}},"
              "{\"class_name\": \"flip\", \"config\": {\"probability\": 1}}]",
              t, 1),
        want, 1e-3);
    cnn_tensor_release(t);
}

static void there_and_back_again_is_the_very_picture(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_UINT8, 2, 21, 17, 3);
    assert_same(apply("[{\"class_name\": \"rotate\", \"config\": {\"degrees\": [33, 33]}},"
                      "{\"class_name\": \"zoom\", \"config\": {\"range\": [2, 2]}},"
                      "{\"class_name\": \"zoom\", \"config\": {\"range\": [0.5, 0.5]}},"
                      "{\"class_name\": \"rotate\", \"config\": {\"degrees\": [-33, -33]}}]",
                      t, 1),
                t);
}

/* ---- values -------------------------------------------------------------------------------------------- */

static void values_change_as_the_steps_say(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_FLOAT32, SHAPE(1, 2, 3), 10, 20, 30, 100, 200, 240);
    EXPECT(apply(STEP("brightness", "\"range\": [1.5, 1.5]"), t, 1), CNN_FLOAT32, SHAPE(1, 2, 3), 15, 30, 45,
           150, 255, 255);
    EXPECT(apply(STEP("brightness_delta", "\"range\": [-0.1, -0.1]"), t, 1), CNN_FLOAT32, SHAPE(1, 2, 3), 0,
           0, 4.5, 74.5, 174.5, 214.5);
    EXPECT(apply(STEP("contrast", "\"range\": [0.5, 0.5]"), t, 1), CNN_FLOAT32, SHAPE(1, 2, 3), 32.5, 65,
           82.5, 77.5, 155, 187.5);
    EXPECT(apply(STEP("channel_shift", "\"range\": [-15, -15]"), t, 1), CNN_FLOAT32, SHAPE(1, 2, 3), 10, 10,
           15, 85, 185, 225);
    EXPECT(apply(STEP("rescale", "\"scale\": 0.5, \"offset\": -1"), t, 1), CNN_FLOAT32, SHAPE(1, 2, 3), 4, 9,
           14, 49, 99, 119);
    EXPECT(apply(STEP("clip", "\"low\": 25, \"high\": 150"), t, 1), CNN_FLOAT32, SHAPE(1, 2, 3), 25, 25, 30,
           100, 150, 150);
    EXPECT(apply(STEP("normalize", "\"std_normalization\": false"), t, 1), CNN_FLOAT32, SHAPE(1, 2, 3), -90,
           -80, -70, 0, 100, 140);
    EXPECT(apply(STEP("brightness", "\"range\": [1.5, 1.5], \"probability\": 0"), t, 1), CNN_FLOAT32,
           SHAPE(1, 2, 3), 10, 20, 30, 100, 200, 240);
    cnn_tensor_release(t);
}

static void colours_turn_and_fade(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_FLOAT32, SHAPE(1, 3, 4), 200, 0, 0, 1, 0, 90, 30, 2, 50, 50, 50, 3);
    EXPECT(apply(STEP("hue", "\"range\": [0.33333333333333333, 0.33333333333333333]"), t, 1), CNN_FLOAT32,
           SHAPE(1, 3, 4), 0, 200, 0, 1, 30, 0, 90, 2, 50, 50, 50, 3);
    EXPECT(apply(STEP("saturation", "\"range\": [0, 0]"), t, 1), CNN_FLOAT32, SHAPE(1, 3, 4), 59.78, 59.78,
           59.78, 1, 56.25, 56.25, 56.25, 2, 49.995, 49.995, 49.995, 3);
    cnn_tensor_release(t);
    t = TENSOR(CNN_FLOAT32, SHAPE(1, 2, 3), 123, 45, 67, 8, 200, 33);
    assert_near(apply(STEP("hue", "\"range\": [-1, -1]"), t, 1), (cnn_tensor_retain(t), t),
                1e-3); /* a whole turn */
    assert_near(apply(STEP("saturation", "\"range\": [1, 1]"), t, 1), t, 1e-3);
}

static void bytes_are_rounded_and_saturated_or_become_floats(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(1, 3), 3, 100, 200);
    EXPECT(apply(STEP("brightness", "\"range\": [1.5, 1.5], \"value_range\": [0, 1000]"), t, 1), CNN_UINT8,
           SHAPE(1, 3), 5, 150, 255);
    EXPECT(apply(STEP("rescale", "\"scale\": 0.5"), t, 1), CNN_FLOAT32, SHAPE(1, 3), 1.5, 50, 100);
    EXPECT(apply("[]", t, 1), CNN_UINT8, SHAPE(1, 3), 3, 100, 200);
    cnn_tensor_release(t);
}

static void draws_spread_over_their_range(void **state) {
    (void)state;
    cnn_tensor *t = NULL;
    OK(cnn_tensor_full(&t, CNN_FLOAT32, SHAPE(2000, 1, 1, 1), 100));
    cnn_tensor *out = apply(STEP("brightness", "\"range\": 0.3"), t, 9);
    double sum = 0, low = 1e9, high = 0;
    for (int i = 0; i < 2000; i++) {
        double v = cnn_f32(out)[i];
        sum += v;
        low = fmin(low, v);
        high = fmax(high, v);
    }
    assert_true(low >= 70 && low < 70.5 && high <= 130.001 && high > 129.5);
    assert_true(fabs(sum / 2000 - 100) < 1.6); /* four deviations: 17.3 / sqrt(2000) each */
    cnn_tensor_release(out);
    out = apply(STEP("noise", "\"stddev\": 10"), t, 9);
    double squares = 0;
    for (int i = 0; i < 2000; i++) squares += pow(cnn_f32(out)[i] - 100, 2);
    assert_true(fabs(sqrt(squares / 2000) - 10) < 0.7);
    cnn_tensor_release(out);
    cnn_tensor_release(t);
}

/* ---- parts of pictures --------------------------------------------------------------------------------- */

static void a_crop_is_a_part_and_comes_from_everywhere(void **state) {
    (void)state;
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, CNN_FLOAT32, SHAPE(300, 4, 5, 1)));
    for (int64_t i = 0; i < t->size; i++) cnn_f32(t)[i] = (float)(i % 20);
    cnn_tensor *out = apply(STEP("crop", "\"height\": 2, \"width\": 4"), t, 5);
    assert_true(out->shape[1] == 2 && out->shape[2] == 4);
    bool seen[20] = {false};
    for (int64_t n = 0; n < 300; n++) {
        const float *got = cnn_f32(out) + n * 8;
        for (int i = 0; i < 8; i++) assert_true(got[i] == got[0] + (float)(i / 4 * 5 + i % 4));
        seen[(int)got[0]] = true;
    }
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 5; x++) assert_true(seen[y * 5 + x] == (y < 3 && x < 2));
    cnn_tensor_release(out);
    cnn_tensor_release(t);
}

static void erasing_fills_a_rectangle_of_the_area_asked_for(void **state) {
    (void)state;
    cnn_tensor *t = NULL;
    OK(cnn_tensor_full(&t, CNN_FLOAT32, SHAPE(50, 40, 40, 2), 100));
    cnn_tensor *out = apply(
        STEP("erase", "\"probability\": 1, \"scale\": [0.25, 0.25], \"ratio\": [1, 1], \"value\": 7"), t, 5);
    for (int n = 0; n < 50; n++) {
        const float *got = cnn_f32(out) + n * 3200;
        int erased = 0, top = 40, bottom = -1;
        for (int i = 0; i < 3200; i++) {
            if (got[i] == 100) continue;
            assert_true(got[i] == 7);
            erased++;
            top = i / 80 < top ? i / 80 : top;
            bottom = i / 80;
        }
        assert_int_equal(erased, 20 * 20 * 2);
        assert_int_equal(bottom - top, 19);
    }
    cnn_tensor_release(out);
    out = apply(STEP("erase", "\"probability\": 1, \"value\": null, \"value_range\": [200, 201]"), t, 5);
    for (int64_t i = 0; i < out->size; i++)
        assert_true(cnn_f32(out)[i] == 100 || (cnn_f32(out)[i] >= 200 && cnn_f32(out)[i] <= 201));
    cnn_tensor_release(out);
    cnn_tensor_release(t);
}

static void elastic_moves_pixels_smoothly_and_by_alpha(void **state) {
    (void)state;
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, CNN_FLOAT32, SHAPE(60, 60, 2)));
    for (int64_t i = 0; i < t->size; i++)
        cnn_f32(t)[i] = (float)(i % 2 ? i / 2 / 60 : i / 2 % 60); /* x and y themselves */
    assert_same(apply(STEP("elastic", "\"alpha\": 0"), t, 5), (cnn_tensor_retain(t), t));
    cnn_tensor *out = apply(STEP("elastic", "\"alpha\": 30, \"sigma\": 3"), t, 5);
    double squares = 0, rough = 0;
    int count = 0;
    for (int y = 12; y < 48; y++)
        for (int x = 12; x < 47; x++)
            for (int c = 0; c < 2; c++, count++) {
                int64_t i = (y * 60 + x) * 2 + c;
                double moved = cnn_f32(out)[i] - cnn_f32(t)[i],
                       next = cnn_f32(out)[i + 2] - cnn_f32(t)[i + 2];
                squares += moved * moved;
                rough += (next - moved) * (next - moved);
            }
    /* Smoothing leaves 1 / (2 sigma sqrt(pi)) of the deviation alpha / sqrt(3). */
    double want = 30 / sqrt(3) / (2 * 3 * sqrt(3.14159265358979323846)), got = sqrt(squares / count);
    assert_true(got > 0.7 * want && got < 1.3 * want);
    assert_true(rough < 0.2 * squares);
    cnn_tensor_release(out);
    cnn_tensor_release(t);
}

/* ---- pictures mixed with their labels -------------------------------------------------------------------- */

/* Picture n is all n, and its label has 1 at n: so the label tells what the picture must be. */
static void check_mix(const char *steps, bool blends) {
    enum { N = 8, PIXELS = 20 * 20 };
    cnn_augment *augment = NULL;
    cnn_tensor *t = NULL, *labels = NULL, *out = NULL, *mixed = NULL;
    cnn_random random = {6, 0};
    OK(cnn_augment_new(&augment, steps));
    OK(cnn_tensor_new(&t, CNN_FLOAT32, SHAPE(N, 20, 20, 1)));
    for (int i = 0; i < N * PIXELS; i++) cnn_f32(t)[i] = (float)(i / PIXELS);
    OK(cnn_eye(&labels, CNN_FLOAT32, N, N));
    OK(cnn_augment_apply(&out, &mixed, augment, t, labels, &random));
    int changed = 0;
    for (int n = 0; n < N; n++) {
        double mean = 0, want = 0, sum = 0;
        for (int i = 0; i < PIXELS; i++) {
            double v = cnn_f32(out)[n * PIXELS + i];
            mean += v / PIXELS;
            assert_true(blends ? v == cnn_f32(out)[n * PIXELS] : v == floor(v));
        }
        for (int k = 0; k < N; k++) {
            sum += cnn_f32(mixed)[n * N + k];
            want += (float)k * cnn_f32(mixed)[n * N + k];
        }
        assert_true(fabs(sum - 1) < 1e-5 && fabs(mean - want) < 1e-4);
        changed += fabs(mean - n) > 1e-3;
    }
    assert_true(changed >= 3);
    assert_true(cnn_f32(labels)[0] == 1);
    cnn_tensor *all[] = {t, labels, out, mixed};
    for (int i = 0; i < 4; i++) cnn_tensor_release(all[i]);
    cnn_augment_release(augment);
}

static void mixing_mixes_labels_alike(void **state) {
    (void)state;
    check_mix(STEP("mixup", "\"alpha\": 1"), true);
    check_mix(STEP("cutmix", ""), false);
    check_mix("[{\"class_name\": \"flip\"}, {\"class_name\": \"mixup\", \"config\": {\"alpha\": 0.4}},"
              "{\"class_name\": \"mixup\", \"config\": {\"alpha\": 1}}, {\"class_name\": \"flip\"}]",
              true);
}

/* ---- the same everywhere ------------------------------------------------------------------------------- */

static const char everything[] =
    "[{\"class_name\": \"rotate\", \"config\": {\"degrees\": 20}}, {\"class_name\": \"shift\", \"config\": "
    "{\"height\": 0.1, \"width\": 0.1}}, {\"class_name\": \"shear\", \"config\": {\"degrees\": 10}},"
    "{\"class_name\": \"zoom\", \"config\": {\"range\": 0.2}}, {\"class_name\": \"flip\"}, {\"class_name\": "
    "\"brightness\", \"config\": {\"range\": 0.2}}, {\"class_name\": \"brightness_delta\", \"config\": "
    "{\"range\": "
    "0.1}}, {\"class_name\": \"contrast\", \"config\": {\"range\": 0.2}}, {\"class_name\": \"saturation\", "
    "\"config\": {\"range\": 0.5}}, {\"class_name\": \"hue\", \"config\": {\"range\": 0.1}}, "
    "{\"class_name\": "
    "\"channel_shift\", \"config\": {\"range\": 20}}, {\"class_name\": \"noise\", \"config\": {\"stddev\": "
    "5}},"
    "{\"class_name\": \"mixup\"}, {\"class_name\": \"elastic\"}, {\"class_name\": \"crop\", \"config\": "
    "{\"height\": 20, \"width\": 16}}, {\"class_name\": \"cutmix\"}, {\"class_name\": \"erase\"}, "
    "{\"class_name\": \"clip\"}, {\"class_name\": \"rescale\", "
    "\"config\": "
    "{\"scale\": 0.01}}, {\"class_name\": \"normalize\"}]";

static cnn_status apply_everything(cnn_tensor **out, void *images) {
    cnn_augment *augment = NULL;
    cnn_tensor *labels = NULL, *mixed = NULL;
    cnn_random random = {6, 0};
    cnn_status status = cnn_augment_new(&augment, everything);
    if (status == CNN_OK) status = cnn_eye(&labels, CNN_FLOAT32, 5, 5);
    if (status == CNN_OK) status = cnn_augment_apply(out, &mixed, augment, images, labels, &random);
    cnn_tensor_release(labels);
    cnn_tensor_release(mixed);
    cnn_augment_release(augment);
    return status;
}

static void any_number_of_threads_gives_the_same_bits(void **state) {
    (void)state;
    int threads = cnn_threads();
    for (int bytes = 0; bytes < 2; bytes++) {
        cnn_tensor *t = sample(bytes ? CNN_UINT8 : CNN_FLOAT32, 5, 24, 20, 3), *one = NULL, *five = NULL;
        OK(cnn_set_threads(1));
        OK(apply_everything(&one, t));
        OK(cnn_set_threads(5));
        OK(apply_everything(&five, t));
        assert_int_equal(one->dtype, CNN_FLOAT32);
        assert_same(one, five);
        cnn_tensor_release(t);
    }
    OK(cnn_set_threads(threads));
}

static void what_a_step_draws_depends_on_no_other_step(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_FLOAT32, 6, 8, 8, 1);
    cnn_tensor *with =
        apply("[{\"class_name\": \"erase\", \"config\": {\"probability\": 1, \"value\": null}},"
              "{\"class_name\": \"clip\", \"config\": {\"high\": 0}}, {\"class_name\": \"noise\", "
              "\"config\": {\"stddev\": 3}}]",
              t, 8);
    cnn_tensor *without =
        apply("[{\"class_name\": \"erase\", \"config\": {\"probability\": 0}},"
              "{\"class_name\": \"clip\", \"config\": {\"high\": 0}}, {\"class_name\": \"noise\", "
              "\"config\": {\"stddev\": 3}}]",
              t, 8);
    assert_same(with, without);
    cnn_tensor_release(t);
}

static void the_input_is_left_alone(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_FLOAT32, 5, 24, 20, 3), *before = NULL, *out = NULL;
    OK(cnn_copy(&before, t));
    OK(apply_everything(&out, t));
    cnn_tensor_release(out);
    assert_same(t, before);
}

/* ---- what can be wrong --------------------------------------------------------------------------------- */

static void fails_to_make(const char *steps, const char *text) {
    cnn_augment *augment = NULL;
    assert_fails(cnn_augment_new(&augment, steps), CNN_ERROR_ARGUMENT, text);
    assert_null(augment);
}

static void bad_steps_are_named(void **state) {
    (void)state;
    fails_to_make("[", "augment: not JSON");
    fails_to_make("3", "expected a list");
    fails_to_make("[{\"class_name\": \"rotat\"}]", "did you mean 'rotate'?");
    fails_to_make(STEP("rotate", ""), "rotate: missing argument 'degrees'");
    fails_to_make(STEP("rotate", "\"degree\": 3"), "unknown argument 'degree' (did you mean 'degrees'?)");
    fails_to_make(STEP("rotate", "\"degrees\": [3, 2]"), "rotate: 'degrees' must be");
    fails_to_make(STEP("rotate", "\"degrees\": \"much\""), "rotate: 'degrees' must be");
    fails_to_make(STEP("rotate", "\"degrees\": 1e999"), "rotate: 'degrees' must be");
    fails_to_make(STEP("rotate", "\"degrees\": 1, \"fill_mode\": \"mirror\""), "rotate: 'fill_mode' must be");
    fails_to_make(STEP("rotate", "\"degrees\": 1, \"probability\": 2"), "rotate: 'probability' must be");
    fails_to_make(STEP("shear", "\"degrees\": 90"), "shear: 'degrees' must be between -90 and 90");
    fails_to_make(STEP("zoom", "\"range\": 1"), "zoom: 'range' must lead to factors above 0");
    fails_to_make(STEP("brightness", "\"range\": [-1, 1]"), "brightness: 'range' must lead to");
    fails_to_make(STEP("contrast", "\"range\": 0.1, \"value_range\": 3"), "contrast: 'value_range' must be");
    fails_to_make(STEP("clip", "\"low\": 3, \"high\": 2"), "clip: 'high' must be at least");
    fails_to_make(STEP("erase", "\"scale\": [0.5, 1.5]"), "erase: 'scale' must be between 0 and 1");
    fails_to_make(STEP("erase", "\"ratio\": [0, 1]"), "erase: 'ratio' must be above 0");
    fails_to_make(STEP("elastic", "\"sigma\": 0"), "elastic: 'sigma' must be between");
    fails_to_make("[{\"class_name\": \"flip\"}, {\"class_name\": \"crop\"}]",
                  "crop: missing argument 'height'");
}

static void fails_to_apply(const char *steps, const cnn_tensor *t, const cnn_tensor *labels,
                           cnn_status status, const char *text) {
    cnn_augment *augment = NULL;
    cnn_tensor *out = NULL, *mixed = NULL;
    OK(cnn_augment_new(&augment, steps));
    assert_fails(cnn_augment_apply(&out, &mixed, augment, t, labels, NULL), status, text);
    assert_null(out);
    assert_null(mixed);
    cnn_augment_release(augment);
}

static void pictures_that_do_not_fit_are_refused(void **state) {
    (void)state;
    cnn_tensor *grey = sample(CNN_FLOAT32, 2, 8, 8, 1), *labels = NULL;
    OK(cnn_tensor_new(&labels, CNN_FLOAT32, SHAPE(3, 2)));
    fails_to_apply(STEP("hue", "\"range\": 0.1"), grey, NULL, CNN_ERROR_SHAPE,
                   "hue: expected pictures of 3 or 4 channels, got 1");
    fails_to_apply(STEP("crop", "\"height\": 9, \"width\": 3"), grey, NULL, CNN_ERROR_SHAPE,
                   "crop: expected pictures of at least 9 by 3, got 8 by 8");
    fails_to_apply(STEP("mixup", ""), grey, NULL, CNN_ERROR_ARGUMENT, "mixup: mixes pictures of a batch");
    fails_to_apply(STEP("mixup", ""), grey, labels, CNN_ERROR_SHAPE, "with labels float32 [N,K]");
    fails_to_apply(STEP("flip", ""), labels, labels, CNN_ERROR_SHAPE, "with labels float32 [N,K]");
    cnn_tensor_release(grey);
    cnn_tensor_release(labels);
}

static void all_names_are_classes(void **state) {
    (void)state;
    int count = 0;
    for (const char *const *name = cnn_augment_names(); *name; name++, count++) {
        char steps[64];
        cnn_augment *augment = NULL;
        snprintf(steps, sizeof steps, "[\"%s\"]", *name);
        if (cnn_augment_new(&augment, steps) != CNN_OK)
            assert_non_null(strstr(cnn_error_message(), "missing argument"));
        assert_non_null(strstr(everything, *name));
        cnn_augment_release(augment);
    }
    assert_int_equal(count, 20);
}

static void exhausted_memory_leaks_nothing(void **state) {
    (void)state;
    int threads = cnn_threads();
    OK(cnn_set_threads(1));
    cnn_tensor *t = sample(CNN_UINT8, 5, 24, 20, 3);
    assert_survives(apply_everything, t);
    cnn_tensor_release(t);
    OK(cnn_set_threads(threads));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flip_mirrors_half_of_the_pictures_exactly),
        cmocka_unit_test(fixed_ranges_do_what_they_say),
        cmocka_unit_test(neighbouring_steps_are_one_warp),
        cmocka_unit_test(there_and_back_again_is_the_very_picture),
        cmocka_unit_test(values_change_as_the_steps_say),
        cmocka_unit_test(colours_turn_and_fade),
        cmocka_unit_test(bytes_are_rounded_and_saturated_or_become_floats),
        cmocka_unit_test(draws_spread_over_their_range),
        cmocka_unit_test(a_crop_is_a_part_and_comes_from_everywhere),
        cmocka_unit_test(erasing_fills_a_rectangle_of_the_area_asked_for),
        cmocka_unit_test(elastic_moves_pixels_smoothly_and_by_alpha),
        cmocka_unit_test(mixing_mixes_labels_alike),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(what_a_step_draws_depends_on_no_other_step),
        cmocka_unit_test(the_input_is_left_alone),
        cmocka_unit_test(bad_steps_are_named),
        cmocka_unit_test(pictures_that_do_not_fit_are_refused),
        cmocka_unit_test(all_names_are_classes),
        cmocka_unit_test(exhausted_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
