/* Affine warps: against numbers computed elsewhere, exact where they are copies, the same on every instruction set and
 * for any number of threads, and their gradients. */
#include "oracle.h"
#include "image/warp.h"

#include <stdlib.h>

static const double pi = 3.14159265358979323846;

static cnn_tensor *sample(cnn_dtype dtype, int64_t count, int64_t height, int64_t width, int64_t channels) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, dtype, SHAPE(count, height, width, channels)));
    for (int64_t i = 0; i < t->size; i++) cnn_tensor_set(t, i, (double)((i * 7919 + i / 13 * 31) % 256));
    return t;
}

static cnn_warp_options options(cnn_interpolation method, cnn_fill fill) {
    return (cnn_warp_options){method, fill, 99};
}

/* The picture through one map, at its own size; the caller releases. */
static cnn_tensor *warped(const cnn_tensor *t, cnn_affine at, cnn_interpolation method, cnn_fill fill) {
    cnn_tensor *out = NULL;
    cnn_warp_options o = options(method, fill);
    OK(cnn_image_warp(&out, t, &at, 1, 0, 0, &o));
    return out;
}

static double furthest(const cnn_tensor *a, const cnn_tensor *b) {
    double most = 0;
    assert_true(cnn_same_shape(a, b));
    for (int64_t i = 0; i < a->size; i++) {
        double off = fabs(cnn_tensor_get(a, i) - cnn_tensor_get(b, i));
        if (!(off <= most)) most = off; /* also where it is not a number */
    }
    return most;
}

static void assert_same(cnn_tensor *a, cnn_tensor *b) {
    assert_true(cnn_same_shape(a, b));
    assert_memory_equal(a->data, b->data, cnn_tensor_bytes(a));
    cnn_tensor_release(a);
    cnn_tensor_release(b);
}

/* ---- other programs' numbers ----------------------------------------------------------------------------- */

static cnn_affine oracle_map(lua_State *L) {
    double v[6];
    lua_getfield(L, 2, "at");
    for (int i = 0; i < 6; i++) {
        lua_rawgeti(L, -1, i + 1);
        v[i] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return (cnn_affine){v[0], v[1], v[2], v[3], v[4], v[5]};
}

static cnn_fill fill_named(const char *name) {
    static const char *const names[] = {"constant", "nearest", "reflect", "wrap"};
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0) return (cnn_fill)i;
    fail();
    return CNN_FILL_CONSTANT;
}

static void agrees_with_scipy(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    lua_State *L = oracle_open("warp");
    int count = (int)lua_rawlen(L, 1);
    assert_true(count >= 32);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        cnn_tensor *input = oracle_field(L, 2, "input"), *want = oracle_field(L, 2, "output"), *got = NULL;
        cnn_affine at = oracle_map(L);
        bool nearest = strcmp(oracle_text(L, 2, "method"), "nearest") == 0;
        cnn_warp_options o = {nearest ? CNN_NEAREST : CNN_BILINEAR, fill_named(oracle_text(L, 2, "fill")),
                              0.625};
        OK(cnn_image_warp(&got, input, &at, 1, want->shape[0], want->shape[1], &o));
        double distance = furthest(got, want);
        if (distance > 5e-6) print_error("case %d: off by %g\n", i, distance);
        assert_true(distance <= 5e-6);
        cnn_tensor_release(input);
        cnn_tensor_release(want);
        cnn_tensor_release(got);
        lua_settop(L, 1);
    }
    lua_close(L);
}

/* ---- a plain definition ------------------------------------------------------------------------------------ */

static int64_t seen_at(int64_t i, int64_t n, cnn_fill fill) {
    int64_t period = fill == CNN_FILL_REFLECT ? 2 * n : n, m = (i % period + period) % period;
    if (fill == CNN_FILL_CONSTANT) return i < 0 || i >= n ? -1 : i;
    if (fill == CNN_FILL_NEAREST) return i < 0 ? 0 : i >= n ? n - 1 : i;
    return m < n ? m : 2 * n - 1 - m;
}

static double pixel(const cnn_tensor *t, double y, double x, int64_t c, const cnn_warp_options *o) {
    int64_t row = seen_at((int64_t)y, t->shape[1], o->fill),
            column = seen_at((int64_t)x, t->shape[2], o->fill);
    if (row < 0 || column < 0) return o->value;
    return cnn_tensor_get(t, (row * t->shape[2] + column) * t->shape[3] + c);
}

static double sampled(const cnn_tensor *t, double y, double x, int64_t c, const cnn_warp_options *o) {
    double top = floor(y), left = floor(x), down = y - top, right = x - left;
    return (1 - down) * ((1 - right) * pixel(t, top, left, c, o) + right * pixel(t, top, left + 1, c, o)) +
           down * ((1 - right) * pixel(t, top + 1, left, c, o) + right * pixel(t, top + 1, left + 1, c, o));
}

static void expect_sampled(const cnn_tensor *t, cnn_affine at, cnn_fill fill, double tolerance) {
    cnn_warp_options o = options(CNN_BILINEAR, fill);
    cnn_tensor *got = warped(t, at, CNN_BILINEAR, fill);
    int64_t width = t->shape[2], channels = t->shape[3];
    for (int64_t i = 0; i < got->size; i++) {
        double x = (double)(i / channels % width), y = (double)(i / channels / width);
        double want =
            sampled(t, at.yx * x + at.yy * y + at.y0, at.xx * x + at.xy * y + at.x0, i % channels, &o);
        if (fabs(cnn_tensor_get(got, i) - want) > tolerance)
            fail_msg("fill %d, %d channels, element %d: %g, not %g", (int)fill, (int)channels, (int)i,
                     cnn_tensor_get(got, i), want);
    }
    cnn_tensor_release(got);
}

static void samples_the_picture_that_goes_on_for_ever(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    static const double turns[][3] = {{0.3, 1.1, 0}, {-1.2, 0.4, 3}, {2.5, 1.9, -40}, {0.0, 0.93, 0.5}};
    for (int channels = 1; channels <= 5; channels++)
        for (int fill = 0; fill < 4; fill++)
            for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
                cnn_affine at = cnn_affine_compose(cnn_affine_rotation(turns[i][0]),
                                                   cnn_affine_scale(turns[i][1], turns[i][1]));
                at = cnn_affine_compose(at, cnn_affine_translation(turns[i][2], turns[i][2] / 3));
                cnn_tensor *t = sample(CNN_FLOAT32, 1, 37, 53, channels), *bytes = NULL;
                OK(cnn_cast(&bytes, t, CNN_UINT8));
                expect_sampled(t, cnn_affine_centred(at, 37, 53), (cnn_fill)fill, 2e-3);
                expect_sampled(bytes, cnn_affine_centred(at, 37, 53), (cnn_fill)fill, 0.502);
                cnn_tensor_release(t);
                cnn_tensor_release(bytes);
            }
}

/* ---- copies ------------------------------------------------------------------------------------------------ */

static cnn_tensor *flipped(const cnn_tensor *t, int axis) {
    cnn_tensor *out = NULL;
    OK(cnn_flip(&out, t, axis));
    return out;
}

static void flips_and_quarter_turns_are_copies(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    for (int channels = 1; channels <= 5; channels++)
        for (int bytes = 0; bytes < 2; bytes++) {
            cnn_tensor *t = sample(bytes ? CNN_UINT8 : CNN_FLOAT32, 2, 33, 33, channels), *turned = NULL;
            if (!bytes) cnn_f32(t)[40] = INFINITY, cnn_f32(t)[700] = NAN; /* must not spread */
            cnn_affine mirror = cnn_affine_centred(cnn_affine_scale(-1, 1), 33, 33);
            cnn_affine upside_down = cnn_affine_centred(cnn_affine_rotation(pi), 33, 33);
            cnn_affine quarter = cnn_affine_centred(cnn_affine_rotation(pi / 2), 33, 33);
            assert_same(warped(t, cnn_affine_identity(), CNN_BILINEAR, CNN_FILL_WRAP),
                        (cnn_tensor_retain(t), t));
            assert_same(warped(t, mirror, CNN_BILINEAR, CNN_FILL_CONSTANT), flipped(t, 2));
            cnn_tensor *rows = flipped(t, 1);
            assert_same(warped(t, upside_down, CNN_BILINEAR, CNN_FILL_REFLECT), flipped(rows, 2));
            OK(cnn_transpose(&turned, t, (int[]){0, 2, 1, 3}));
            assert_same(warped(t, quarter, CNN_BILINEAR, CNN_FILL_CONSTANT), flipped(turned, 1));
            cnn_tensor_release(rows);
            cnn_tensor_release(turned);
            cnn_tensor_release(t);
        }
}

static void whole_shifts_are_copies_for_each_fill(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    cnn_tensor *t = TENSOR(CNN_FLOAT32, SHAPE(1, 1, 4, 1), 1, 2, 3, 4);
    static const double want[4][2][4] = {{{99, 99, 99, 1}, {3, 4, 99, 99}},
                                         {{1, 1, 1, 1}, {3, 4, 4, 4}},
                                         {{3, 2, 1, 1}, {3, 4, 4, 3}},
                                         {{2, 3, 4, 1}, {3, 4, 1, 2}}};
    for (int fill = 0; fill < 4; fill++)
        for (int i = 0; i < 2; i++)
            assert_same(warped(t, cnn_affine_translation(i ? -2 : 3, 0), CNN_BILINEAR, (cnn_fill)fill),
                        make_tensor(CNN_FLOAT32, SHAPE(1, 1, 4, 1), want[fill][i], 4));
    cnn_tensor_release(t);
}

static void maps_compose_as_the_pictures_do(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_FLOAT32, 1, 9, 9, 3);
    cnn_affine turn = cnn_affine_centred(cnn_affine_rotation(pi / 2), 9, 9),
               shift = cnn_affine_translation(2, 0);
    cnn_tensor *turned = warped(t, turn, CNN_BILINEAR, CNN_FILL_CONSTANT);
    assert_same(warped(t, cnn_affine_compose(turn, shift), CNN_BILINEAR, CNN_FILL_CONSTANT),
                warped(turned, shift, CNN_BILINEAR, CNN_FILL_CONSTANT));
    cnn_tensor_release(turned);
    cnn_tensor_release(t);
}

/* ---- the same everywhere ------------------------------------------------------------------------------------- */

static void all_instruction_sets_and_threads_give_the_same_bits(void **state) {
    (void)state;
    static const char *const cpus[] = {"sse2", "avx2", "avx512"};
    cnn_affine at =
        cnn_affine_centred(cnn_affine_compose(cnn_affine_rotation(0.4), cnn_affine_scale(1.2, 0.8)), 40, 40);
    for (int channels = 1; channels <= 5; channels++)
        for (int bytes = 0; bytes < 2; bytes++) {
            cnn_tensor *t = sample(bytes ? CNN_UINT8 : CNN_FLOAT32, 5, 40, 40, channels);
            cnn_tensor *first = warped(t, at, CNN_BILINEAR, CNN_FILL_REFLECT);
            int threads = cnn_threads();
            for (int i = 0; i < 3; i++) {
                if (cnn_set_cpu(cpus[i]) != CNN_OK) continue;
                OK(cnn_set_threads(i % 2 ? 5 : 1));
                assert_same(warped(t, at, CNN_BILINEAR, CNN_FILL_REFLECT), (cnn_tensor_retain(first), first));
            }
            OK(cnn_set_threads(threads));
            cnn_tensor_release(first);
            cnn_tensor_release(t);
        }
}

static void each_picture_may_have_its_own_map(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(2, 1, 3, 1), 1, 2, 3, 4, 5, 6), *out = NULL;
    cnn_affine maps[] = {cnn_affine_translation(1, 0), cnn_affine_translation(-1, 0)};
    cnn_warp_options o = {CNN_NEAREST, CNN_FILL_CONSTANT, 300};
    OK(cnn_image_warp(&out, t, maps, 2, 0, 0, &o));
    EXPECT(out, CNN_UINT8, SHAPE(2, 1, 3, 1), 255, 1, 2, 5, 6, 255);
    cnn_tensor_release(t);
}

/* ---- gradients --------------------------------------------------------------------------------------------- */

/* Sampling is linear: <warp(x), g> = <x, grad(g)> for all x and g. */
static void gradient_is_the_transpose(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    enum { IN = 11 * 13, OUT = 9 * 17 };
    for (int method = 0; method < 2; method++)
        for (int fill = 0; fill < 4; fill++)
            for (int channels = 1; channels <= 4; channels++) {
                cnn_affine at = {0.913, -0.707, 1.317,
                                 0.611, 1.409,  -3.103}; /* no point half-way between pixels */
                cnn_warp w = {
                    11, 13, 9, 17, channels, at, {method ? CNN_BILINEAR : CNN_NEAREST, (cnn_fill)fill, 0}};
                float x[IN * 4], y[OUT * 4], g[OUT * 4], dx[IN * 4];
                double forward = 0, backward = 0;
                for (int i = 0; i < IN * channels; i++) x[i] = (float)(i * 37 % 101) / 101;
                for (int i = 0; i < OUT * channels; i++) g[i] = (float)(i * 53 % 97) / 97 - 0.5f;
                cnn_warp_picture(&w, x, y);
                cnn_warp_picture_grad(&w, g, dx);
                for (int i = 0; i < OUT * channels; i++) forward += (double)y[i] * g[i];
                for (int i = 0; i < IN * channels; i++) backward += (double)x[i] * dx[i];
                if (fabs(forward - backward) > 1e-4)
                    fail_msg("method %d, fill %d, %d channels: %g, not %g", method, fill, channels, backward,
                             forward);
            }
}

/* ---- what can be wrong ------------------------------------------------------------------------------------- */

/* Nothing but the pictures is read or written, wherever the map leads. */
static void strange_maps_stay_within_the_picture(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    static const double strange[] = {0,        1,  -1, 1e-300, 1e300, -1e300, 1e9, -3e9, 0.49999999999,
                                     INFINITY, NAN};
    enum { KINDS = sizeof strange / sizeof *strange };
    static const int64_t sizes[][2] = {{1, 1}, {1, 5}, {2, 2}, {19, 3}};
    for (int n = 0; n < 3000; n++) {
        int r = n * 7919;
        double v[6];
        for (int i = 0; i < 6; i++, r /= 3) v[i] = strange[r % KINDS];
        const int64_t *size = sizes[n % 4];
        int64_t channels = n % 5 + 1, elements = size[0] * size[1] * channels;
        cnn_warp w = {size[0],
                      size[1],
                      4,
                      21,
                      channels,
                      {v[0], v[1], v[2], v[3], v[4], v[5]},
                      {n % 2 ? CNN_BILINEAR : CNN_NEAREST, (cnn_fill)(n / 2 % 4), 7}};
        float *in = malloc((size_t)elements * sizeof *in),
              *out = malloc((size_t)(4 * 21 * channels) * sizeof *out);
        for (int64_t i = 0; i < elements; i++) in[i] = 1;
        cnn_warp_picture(&w, in, out);
        for (int64_t i = 0; i < 4 * 21 * channels; i++) assert_true(out[i] > 0.999f && out[i] < 7.001f);
        cnn_warp_picture_u8(&w, (uint8_t *)in, (uint8_t *)out);
        cnn_warp_picture_grad(&w, out, in);
        free(in);
        free(out);
    }
}

static void errors_name_what_is_wrong(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_FLOAT32, 3, 2, 2, 1), *out = NULL;
    cnn_affine maps[3] = {{1, 0, 0, 0, 1, 0}, {1, 0, 0, 0, 1, 0}, {1, 0, NAN, 0, 1, 0}};
    cnn_warp_options o = {CNN_BILINEAR, CNN_FILL_REFLECT, 0};
    assert_fails(cnn_image_warp(&out, t, maps, 2, 0, 0, &o), CNN_ERROR_SHAPE,
                 "one for each of 3 pictures, got 2");
    assert_fails(cnn_image_warp(&out, t, maps, 3, 0, 0, &o), CNN_ERROR_ARGUMENT, "finite numbers");
    assert_fails(cnn_image_warp(&out, t, maps, 1, -1, 0, &o), CNN_ERROR_ARGUMENT, "sizes of pictures");
    o.method = CNN_BICUBIC;
    assert_fails(cnn_image_warp(&out, t, maps, 1, 0, 0, &o), CNN_ERROR_ARGUMENT, "'interpolation'");
    o = (cnn_warp_options){CNN_BILINEAR, (cnn_fill)9, 0};
    assert_fails(cnn_image_warp(&out, t, maps, 1, 0, 0, &o), CNN_ERROR_ARGUMENT, "'fill_mode'");
    assert_null(out);
    cnn_tensor_release(t);
}

static cnn_status warp_some(cnn_tensor **out, void *images) {
    cnn_affine at = cnn_affine_rotation(1);
    return cnn_image_warp(out, images, &at, 1, 5, 6, &(cnn_warp_options){CNN_BILINEAR, CNN_FILL_WRAP, 0});
}

static void exhausted_memory_leaks_nothing(void **state) {
    (void)state;
    cnn_tensor *t = sample(CNN_FLOAT32, 3, 4, 4, 1);
    assert_survives(warp_some, t);
    cnn_tensor_release(t);
}

#define ON_EACH(f)                                                                                           \
    {#f " on sse2", f, NULL, NULL, "sse2"}, {#f " on avx2", f, NULL, NULL, "avx2"},                          \
        {#f " on avx512", f, NULL, NULL, "avx512"}, {                                                        \
#f " on generic", f, NULL, NULL, "generic"                                                           \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_EACH(agrees_with_scipy),
        ON_EACH(samples_the_picture_that_goes_on_for_ever),
        ON_EACH(flips_and_quarter_turns_are_copies),
        ON_EACH(whole_shifts_are_copies_for_each_fill),
        ON_EACH(gradient_is_the_transpose),
        ON_EACH(strange_maps_stay_within_the_picture),
        cmocka_unit_test(maps_compose_as_the_pictures_do),
        cmocka_unit_test(all_instruction_sets_and_threads_give_the_same_bits),
        cmocka_unit_test(each_picture_may_have_its_own_map),
        cmocka_unit_test(errors_name_what_is_wrong),
        cmocka_unit_test(exhausted_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
