/* Pictures: files of every kind both ways and every way a file can be wrong; resizing against numbers computed
 * elsewhere; colour, ranges and grids. */
#include "oracle.h"
#include "base/memory.h"
#include "image/image.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/cnn_test_image.XXXXXX";

static const char *in_folder(const char *name) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *put(const char *name, const void *bytes, size_t size) {
    const char *path = in_folder(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static size_t get(const char *path, uint8_t *bytes, size_t capacity) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, capacity, file);
    fclose(file);
    return size;
}

static int entries(void) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int count = -2;
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

static void empty_folder(void) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') unlink(in_folder(entry->d_name));
    closedir(dir);
}

/* Smooth in both directions, so that JPEG stays near. */
static cnn_tensor *sample(cnn_dtype dtype, int64_t h, int64_t w, int64_t c) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, dtype, 3, I64(h, w, c)));
    for (int64_t i = 0; i < t->size; i++) {
        double value = (double)((i / c % w * 7 + i / c / w * 5 + i % c * 40) % 200 + 20);
        cnn_tensor_set(t, i, dtype == CNN_UINT8 ? value : value / 255);
    }
    return t;
}

static double furthest(const cnn_tensor *a, const cnn_tensor *b) {
    assert_true(cnn_same_shape(a, b));
    double most = 0;
    for (int64_t i = 0; i < a->size; i++) {
        double distance = fabs(cnn_tensor_get(a, i) - cnn_tensor_get(b, i));
        most = distance > most ? distance : most;
    }
    return most;
}

/* ---- files --------------------------------------------------------------------------------------------- */

static void test_lossless_formats_give_back_what_was_saved(void **state) {
    (void)state;
    const char *const names[] = {"a.png", "a.bmp", "a.PNG"};
    for (size_t i = 0; i < 3; i++) {
        for (int channels = 1; channels <= 4; channels++) {
            if (channels == 2 && i == 1) continue;
            cnn_tensor *image = sample(CNN_UINT8, 9, 13, channels), *back = NULL;
            OK(cnn_image_save(in_folder(names[i]), image, false, 95));
            OK(cnn_image_load(&back, in_folder(names[i]), channels == 2 ? 0 : channels));
            assert_int_equal(back->dtype, CNN_UINT8);
            assert_true(furthest(image, back) == 0);
            cnn_tensor_release(image);
            cnn_tensor_release(back);
        }
    }
}

static void test_jpeg_is_near_what_was_saved(void **state) {
    (void)state;
    cnn_tensor *image = sample(CNN_UINT8, 32, 24, 1), *back = NULL;
    OK(cnn_image_save(in_folder("a.jpeg"), image, false, 100));
    OK(cnn_image_load(&back, in_folder("a.jpeg"), 1));
    assert_true(furthest(image, back) < 12);
    cnn_tensor_release(image);
    cnn_tensor_release(back);
}

static void test_floats_from_0_to_1_become_bytes(void **state) {
    (void)state;
    cnn_tensor *image = TENSOR(CNN_FLOAT32, SHAPE(2, 2), 0, 1, 0.5, -0.001), *back = NULL;
    OK(cnn_image_save(in_folder("f.png"), image, false, 95));
    OK(cnn_image_load(&back, in_folder("f.png"), 0));
    EXPECT(back, CNN_UINT8, SHAPE(2, 2, 1), 0, 255, 128, 0);
    cnn_tensor_release(image);
    image = TENSOR(CNN_FLOAT32, SHAPE(1, 3), -2, 0, 2);
    OK(cnn_image_save(in_folder("f.png"), image, true, 95));
    OK(cnn_image_load(&back, in_folder("f.png"), 0));
    EXPECT(back, CNN_UINT8, SHAPE(1, 3, 1), 0, 128, 255);
    cnn_tensor_release(image);
}

static void test_pnm_values_are_scaled_to_bytes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        double values[6];
        int channels;
    } files[] = {
        {"P5 2 1 255\n\x10\xff", 13, {16, 255}, 1},
        {"P5\n# a comment\n2 1\n15\n\x05\x0f", 24, {85, 255}, 1},
        {"P5 2 1 65535\n\x80\x00\xff\xff", 17, {128, 255}, 1},
        {"P2 2 1 4 1 4", 12, {64, 255}, 1},
        {"P6 1 1 255\n\x01\x02\x03", 14, {1, 2, 3}, 3},
        {"P3 1 1 255 9 8 7\n", 17, {9, 8, 7}, 3},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        cnn_tensor *image = NULL;
        OK(cnn_image_load(&image, put("a.pnm", files[i].text, files[i].size), 0));
        int64_t shape[] = {1, files[i].channels == 1 ? 2 : 1, files[i].channels};
        expect_tensor(image, CNN_UINT8, 3, shape, files[i].values, (size_t)(shape[1] * shape[2]), __FILE__,
                      __LINE__);
    }
    cnn_tensor *image = NULL;
    OK(cnn_image_load(&image, put("a.pnm", "P6 1 1 255\n\x64\x00\x00", 14), 1));
    EXPECT(image, CNN_UINT8, SHAPE(1, 1, 1), 30);
    OK(cnn_image_load(&image, put("a.pnm", "P2 1 1 255 7", 12), 4));
    EXPECT(image, CNN_UINT8, SHAPE(1, 1, 4), 7, 7, 7, 255);
}

/* Reads a file of tests/oracle/pictures. */
static size_t get_picture(const char *name, uint8_t *bytes, size_t capacity) {
    char path[256];
    snprintf(path, sizeof path, "tests/oracle/pictures/%s", name);
    return get(path, bytes, capacity);
}

static bool ends_in(const char *name, const char *end) {
    return strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

/* How many channels a file is known to have from its name. */
static int channels_of(const char *name) {
    if (strncmp(name, "grey_alpha", 10) == 0) return 2;
    if (strncmp(name, "grey", 4) == 0 || strncmp(name, "one_bit", 7) == 0) return 1;
    if (strcmp(name, "rgba.png") == 0 || strcmp(name, "palette_transparent.png") == 0) return 4;
    return ends_in(name, ".gif") ? 4 : 3;
}

static void test_every_kind_of_file_is_seen_as_by_others(void **state) {
    (void)state;
    static uint8_t bytes[1 << 13];
    lua_State *L = oracle_open("pictures");
    int count = (int)lua_rawlen(L, 1);
    assert_true(count >= 20);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        const char *name = oracle_text(L, 2, "name");
        cnn_tensor *want = oracle_field(L, 2, "rgb"), *got = NULL;
        size_t size = get_picture(name, bytes, sizeof bytes);
        OK(cnn_image_decode(&got, name, bytes, size, 3));
        double distance = furthest(got, want);
        if (distance > (ends_in(name, ".jpg") ? 1 : 0)) fail_msg("%s is off by %g", name, distance);
        cnn_tensor_release(got);
        cnn_tensor_release(want);
        for (int channels = 0; channels <= 4; channels++) {
            if (channels == 2) continue;
            OK(cnn_image_decode(&got, name, bytes, size, channels));
            assert_int_equal(got->shape[2], channels ? channels : channels_of(name));
            cnn_tensor_release(got);
        }
        lua_settop(L, 1);
    }
    lua_close(L);
}

static void test_jpeg_in_color_becomes_grey_and_opaque(void **state) {
    (void)state;
    static uint8_t bytes[1 << 13];
    size_t size = get_picture("full_color.jpg", bytes, sizeof bytes);
    cnn_tensor *rgb = NULL, *grey = NULL, *weighed = NULL, *rgba = NULL;
    OK(cnn_image_decode(&rgb, "a.jpg", bytes, size, 3));
    OK(cnn_image_decode(&grey, "a.jpg", bytes, size, 1));
    OK(cnn_image_decode(&rgba, "a.jpg", bytes, size, 4));
    OK(cnn_image_to_grayscale(&weighed, rgb));
    assert_true(furthest(grey, weighed) <= 1);
    for (int64_t i = 0; i < grey->size; i++) {
        assert_memory_equal(cnn_u8(rgba) + 4 * i, cnn_u8(rgb) + 3 * i, 3);
        assert_int_equal(cnn_u8(rgba)[4 * i + 3], 255);
    }
    cnn_tensor_release(rgb);
    cnn_tensor_release(grey);
    cnn_tensor_release(weighed);
    cnn_tensor_release(rgba);
}

/* Cameras and programs leave such bytes, and nothing of the picture is lost. */
static void test_jpeg_with_bytes_too_many_is_whole(void **state) {
    (void)state;
    static uint8_t bytes[1 << 13];
    size_t size = get_picture("baseline.jpg", bytes, sizeof bytes - 3);
    cnn_tensor *image = NULL, *same = NULL;
    OK(cnn_image_decode(&image, "a.jpg", bytes, size, 3));
    memcpy(bytes + size - 2, "\1\2\3\xff\xd9", 5);
    OK(cnn_image_decode(&same, "a.jpg", bytes, size + 3, 3));
    assert_true(furthest(image, same) == 0);
    cnn_tensor_release(image);
    cnn_tensor_release(same);
}

static void test_gif_gives_its_first_frame(void **state) {
    (void)state;
    static const uint8_t gif[] = {'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0, 0x80, 0, 0, 200,  100, 50, 0,  0,
                                  0,   ',', 0,   0,   0,   0,   1, 0, 1, 0, 0,    2, 2, 0x44, 1,   0,  ';'};
    cnn_tensor *image = NULL;
    OK(cnn_image_load(&image, put("a.gif", gif, sizeof gif), 3));
    EXPECT(image, CNN_UINT8, SHAPE(1, 1, 3), 200, 100, 50);
}

static void expect_refused(const char *path, cnn_status status, const char *reason) {
    cnn_tensor *image = NULL;
    size_t before = cnn_memory_used();
    assert_fails(cnn_image_load(&image, path, 0), status, reason);
    assert_non_null(strstr(cnn_error_message(), path));
    assert_null(image);
    assert_int_equal(cnn_memory_used(), before);
}

static void test_load_errors_name_file_and_reason(void **state) {
    (void)state;
    expect_refused(in_folder("none.png"), CNN_ERROR_IO, "No such file");
    expect_refused(folder, CNN_ERROR_IO, "Is a directory");
    expect_refused(put("empty.png", "", 0), CNN_ERROR_FORMAT, "is empty");
    expect_refused(put("text.png", "hello, world", 12), CNN_ERROR_FORMAT, "is not a picture");
    expect_refused(put("a.pgm", "P5 4 4 255\nabc", 14), CNN_ERROR_FORMAT, "cut short");
    expect_refused(put("a.pgm", "P5 4", 4), CNN_ERROR_FORMAT, "cut short");
    expect_refused(put("a.pgm", "P5 0 4 255\n", 11), CNN_ERROR_FORMAT, "no pixels");
    expect_refused(put("a.pgm", "P5 4 4 0\n", 9), CNN_ERROR_FORMAT, "largest value");
    expect_refused(put("a.pgm", "P5 99999999 99999999 255\n", 25), CNN_ERROR_FORMAT, "too large");
    expect_refused(put("a.pgm", "P5 99999999999999999999 9 255\n", 30), CNN_ERROR_FORMAT, "too large");
    expect_refused(put("a.pgm", "P5 x", 4), CNN_ERROR_FORMAT, "expected a number");
    static const uint8_t huge[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0,
                                   13,   'I', 'H', 'D', 'R',  0,    0,    0x90, 0, 0, 0,
                                   0x90, 0,   8,   2,   0,    0,    0,    0,    0, 0, 0};
    expect_refused(put("huge.png", huge, sizeof huge), CNN_ERROR_FORMAT, "too large");
    cnn_tensor *image = NULL;
    assert_fails(cnn_image_load(&image, in_folder("a.pgm"), 2), CNN_ERROR_ARGUMENT,
                 "'channels' must be 1, 3, 4");
}

static void test_files_cut_short_are_refused(void **state) {
    (void)state;
    static uint8_t bytes[1 << 16];
    const char *const names[] = {"cut.png", "cut.jpg", "cut.bmp"};
    for (size_t i = 0; i < 3; i++) {
        cnn_tensor *image = sample(CNN_UINT8, 20, 20, 3);
        OK(cnn_image_save(in_folder(names[i]), image, false, 90));
        cnn_tensor_release(image);
        size_t size = get(in_folder(names[i]), bytes, sizeof bytes);
        expect_refused(put(names[i], bytes, size / 2), CNN_ERROR_FORMAT, "is cut short");
        expect_refused(put(names[i], bytes, 20), CNN_ERROR_FORMAT, names[i]);
    }
}

static void test_no_part_of_a_file_gives_part_of_a_picture(void **state) {
    (void)state;
    static uint8_t bytes[1 << 13];
    DIR *dir = opendir("tests/oracle/pictures");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (*entry->d_name == '.') continue;
        size_t size = get_picture(entry->d_name, bytes, sizeof bytes);
        cnn_tensor *whole = NULL;
        OK(cnn_image_decode(&whole, entry->d_name, bytes, size, 3));
        for (size_t part = 0; part < size; part++) {
            cnn_tensor *image = NULL;
            uint8_t *exact = malloc(part + 1); /* where a sanitizer sees its end */
            memcpy(exact + 1, bytes, part);
            if (cnn_image_decode(&image, entry->d_name, exact + 1, part, 3) == CNN_OK)
                assert_true(furthest(image, whole) == 0);
            else
                assert_null(image);
            cnn_tensor_release(image);
            free(exact);
        }
        cnn_tensor_release(whole);
    }
    closedir(dir);
}

/* Bytes changed, parts left out: whatever happens, it is a status. */
static void test_damaged_files_do_no_harm(void **state) {
    (void)state;
    static uint8_t whole[1 << 14], bytes[1 << 14];
    const char *rounds_given = getenv("CNN_TEST_DAMAGE");
    int rounds = rounds_given ? atoi(rounds_given) : 300, decoded = 0;
    const char *const names[] = {"d.png", "d.jpg", "d.bmp", "a.gif", "a.pnm"};
    cnn_random random = {.key = 5};
    cnn_tensor *image = sample(CNN_UINT8, 12, 11, 3);
    for (size_t i = 0; i < 3; i++) OK(cnn_image_save(in_folder(names[i]), image, false, 80));
    cnn_tensor_release(image);
    size_t before = cnn_memory_used();
    for (size_t i = 0; i < 5; i++) {
        size_t size = get(in_folder(names[i]), whole, sizeof whole);
        for (int round = 0; round < rounds; round++) {
            int32_t draw[24];
            cnn_random_integers(&random, draw, 24, 0, 1 << 30);
            memcpy(bytes, whole, size);
            for (int k = 0; k < 1 + draw[0] % 8; k++)
                bytes[(size_t)draw[1 + k] % size] = (uint8_t)(draw[9 + k] % 3 ? draw[9 + k] >> 8 : 255);
            size_t length = draw[23] % 4 ? size : (size_t)draw[22] % size;
            image = NULL;
            if (cnn_image_decode(&image, names[i], bytes, length, draw[21] % 4 ? 0 : 3) == CNN_OK) decoded++;
            cnn_tensor_release(image);
            assert_int_equal(cnn_memory_used(), before);
        }
    }
    assert_true(decoded > 0);
}

static void expect_unsaved(cnn_tensor *owned, const char *name, cnn_status status, const char *reason) {
    empty_folder();
    assert_fails(cnn_image_save(in_folder(name), owned, false, 95), status, reason);
    assert_int_equal(entries(), 0);
    cnn_tensor_release(owned);
}

static void test_save_errors_leave_nothing(void **state) {
    (void)state;
    expect_unsaved(sample(CNN_UINT8, 2, 2, 3), "a.tiff", CNN_ERROR_ARGUMENT, "must end in .png");
    expect_unsaved(sample(CNN_UINT8, 2, 2, 3), "png", CNN_ERROR_ARGUMENT, "must end in .png");
    expect_unsaved(sample(CNN_UINT8, 2, 2, 3), "none/a.png", CNN_ERROR_IO, "No such file");
    expect_unsaved(sample(CNN_UINT8, 2, 2, 5), "a.png", CNN_ERROR_SHAPE, "1, 2, 3 or 4 channels, got 5");
    expect_unsaved(sample(CNN_UINT8, 2, 2, 4), "a.jpg", CNN_ERROR_SHAPE, "1 or 3 channels, got 4");
    expect_unsaved(sample(CNN_UINT8, 2, 2, 2), "a.bmp", CNN_ERROR_SHAPE, "1, 3 or 4 channels, got 2");
    expect_unsaved(sample(CNN_INT32, 2, 2, 3), "a.png", CNN_ERROR_DTYPE, "got int32");
    expect_unsaved(sample(CNN_UINT8, 0, 2, 3), "a.png", CNN_ERROR_SHAPE, "expected pictures");
    expect_unsaved(TENSOR(CNN_UINT8, SHAPE(2), 1, 2), "a.png", CNN_ERROR_SHAPE, "expected pictures");
    expect_unsaved(TENSOR(CNN_UINT8, SHAPE(1, 1, 1, 1), 1), "a.png", CNN_ERROR_SHAPE, "image.grid");
    expect_unsaved(TENSOR(CNN_FLOAT32, SHAPE(1, 2), 0, 37), "a.png", CNN_ERROR_ARGUMENT, "from 0 to 37");
    expect_unsaved(TENSOR(CNN_FLOAT32, SHAPE(1, 2), 0, NAN), "a.png", CNN_ERROR_ARGUMENT,
                   "not a finite number");
    cnn_tensor *wide = NULL;
    OK(cnn_tensor_new(&wide, CNN_UINT8, 2, I64(1, 70000)));
    expect_unsaved(wide, "a.jpg", CNN_ERROR_SHAPE, "too many for a JPEG");
    cnn_tensor *image = sample(CNN_UINT8, 2, 2, 1);
    assert_fails(cnn_image_save(in_folder("a.jpg"), image, false, 101), CNN_ERROR_ARGUMENT, "'quality'");
    cnn_tensor_release(image);
}

static void test_a_full_disk_keeps_the_old_file(void **state) {
    (void)state;
    cnn_tensor *small = sample(CNN_UINT8, 2, 2, 1), *large = NULL, *back = NULL;
    OK(cnn_tensor_new(&large, CNN_UINT8, 3, I64(300, 300, 3)));
    cnn_random_integers(&(cnn_random){.key = 1}, (int32_t *)large->data, large->size / 4, 0, 1 << 30);
    empty_folder();
    OK(cnn_image_save(in_folder("a.png"), small, false, 95));
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    cnn_status status = cnn_image_save(in_folder("a.png"), large, false, 95);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_fails(status, CNN_ERROR_IO, "image.save: cannot write");
    assert_int_equal(entries(), 1);
    OK(cnn_image_load(&back, in_folder("a.png"), 0));
    assert_true(furthest(small, back) == 0);
    cnn_tensor_release(small);
    cnn_tensor_release(large);
    cnn_tensor_release(back);
}

/* ---- resizing ------------------------------------------------------------------------------------------ */

static cnn_interpolation method_of(const char *name) {
    static const char *const names[] = {"nearest", "bilinear", "bicubic", "area"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) return (cnn_interpolation)i;
    fail();
    return CNN_NEAREST;
}

static void test_resize_agrees_with_other_frameworks(void **state) {
    (void)state;
    lua_State *L = oracle_open("resize");
    int count = (int)lua_rawlen(L, 1);
    assert_true(count >= 10);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        cnn_tensor *input = oracle_field(L, 2, "input"), *want = oracle_field(L, 2, "output"), *got = NULL;
        lua_getfield(L, 2, "antialias");
        bool antialias = lua_toboolean(L, -1);
        OK(cnn_image_resize(&got, input, want->shape[1], want->shape[2],
                            method_of(oracle_text(L, 2, "method")), antialias));
        double distance = furthest(got, want);
        if (distance > 2e-6) print_error("case %d: off by %g\n", i, distance);
        assert_true(distance <= 2e-6);
        cnn_tensor_release(input);
        cnn_tensor_release(want);
        cnn_tensor_release(got);
        lua_settop(L, 1);
    }
    lua_close(L);
}

static void test_resized_bytes_are_the_floats_rounded(void **state) {
    (void)state;
    for (int method = 0; method < 4; method++) {
        cnn_tensor *bytes = sample(CNN_UINT8, 11, 17, 3), *floats = NULL, *a = NULL, *b = NULL;
        OK(cnn_cast(&floats, bytes, CNN_FLOAT32));
        OK(cnn_image_resize(&a, bytes, 7, 29, (cnn_interpolation)method, false));
        OK(cnn_image_resize(&b, floats, 7, 29, (cnn_interpolation)method, false));
        assert_int_equal(a->dtype, CNN_UINT8);
        for (int64_t i = 0; i < a->size; i++) {
            double value = cnn_f32(b)[i];
            assert_true(fabs(fmin(fmax(value, 0), 255) - cnn_u8(a)[i]) <= 0.5001);
        }
        cnn_tensor_release(bytes);
        cnn_tensor_release(floats);
        cnn_tensor_release(a);
        cnn_tensor_release(b);
    }
}

static void test_the_same_size_is_the_same_picture(void **state) {
    (void)state;
    for (int method = 0; method < 4; method++) {
        cnn_tensor *image = sample(CNN_FLOAT32, 6, 7, 4), *same = NULL;
        cnn_f32(image)[5] = INFINITY; /* must not spread */
        OK(cnn_image_resize(&same, image, 6, 7, (cnn_interpolation)method, true));
        for (int64_t i = 0; i < image->size; i++) assert_true(cnn_f32(image)[i] == cnn_f32(same)[i]);
        cnn_tensor_release(image);
        cnn_tensor_release(same);
    }
}

/* The part of [1,h,w,c] from (top, left) on, or with a black frame where these are negative. */
static cnn_tensor *framed(const cnn_tensor *image, int64_t top, int64_t left) {
    const int64_t *s = image->shape;
    int64_t height = s[0] - 2 * top, width = s[1] - 2 * left, c = s[2];
    cnn_tensor *part = NULL;
    OK(cnn_tensor_new(&part, image->dtype, 3, I64(height, width, c)));
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            for (int64_t k = 0; k < c; k++)
                if (y + top >= 0 && y + top < s[0] && x + left >= 0 && x + left < s[1])
                    cnn_tensor_set(part, (y * width + x) * c + k,
                                   cnn_tensor_get(image, ((y + top) * s[1] + x + left) * c + k));
    return part;
}

static void test_crop_and_pad_resize_the_centre_part_and_the_framed_picture(void **state) {
    (void)state;
    static const struct {
        int64_t h, w, to_h, to_w;
        cnn_aspect aspect;
        int64_t top, left;
    } cases[] = {
        {8, 12, 4, 4, CNN_ASPECT_CROP, 0, 2},   {12, 8, 9, 9, CNN_ASPECT_CROP, 2, 0},
        {6, 10, 12, 20, CNN_ASPECT_CROP, 0, 0}, {4, 12, 2, 2, CNN_ASPECT_PAD, -4, 0},
        {12, 4, 10, 5, CNN_ASPECT_PAD, 0, -1},  {1, 21, 3, 3, CNN_ASPECT_PAD, -10, 0},
        {5, 5, 3, 7, CNN_ASPECT_STRETCH, 0, 0},
    };
    for (size_t i = 0; i < 4 * sizeof cases / sizeof *cases; i++) {
        int64_t h = cases[i / 4].h, w = cases[i / 4].w, left = cases[i / 4].left;
        cnn_tensor *image = sample(CNN_FLOAT32, h, w, 3), *got = NULL, *want = NULL;
        cnn_tensor *part = framed(image, cases[i / 4].top, left);
        cnn_interpolation method = (cnn_interpolation)(i % 4);
        OK(cnn_image_fit(&got, image, cases[i / 4].to_h, cases[i / 4].to_w, method, i % 2,
                         cases[i / 4].aspect));
        OK(cnn_image_resize(&want, part, cases[i / 4].to_h, cases[i / 4].to_w, method, i % 2));
        assert_true(furthest(got, want) <= 1e-6);
        cnn_tensor_release(image);
        cnn_tensor_release(part);
        cnn_tensor_release(got);
        cnn_tensor_release(want);
    }
}

static void test_crop_and_pad_of_extreme_sizes(void **state) {
    (void)state;
    cnn_tensor *pixel = TENSOR(CNN_UINT8, SHAPE(1, 1, 1), 200), *line = sample(CNN_UINT8, 1, 3000, 1),
               *out = NULL;
    for (int aspect = 0; aspect < 3; aspect++) {
        for (int method = 0; method < 4; method++) {
            OK(cnn_image_fit(&out, pixel, 2, 3, (cnn_interpolation)method, true, (cnn_aspect)aspect));
            assert_true(aspect == CNN_ASPECT_PAD || (cnn_u8(out)[0] == 200 && cnn_u8(out)[5] == 200));
            cnn_tensor_release(out);
            OK(cnn_image_fit(&out, line, 5000, 1, (cnn_interpolation)method, true, (cnn_aspect)aspect));
            cnn_tensor_release(out);
        }
    }
    cnn_tensor_release(pixel);
    cnn_tensor_release(line);
}

static void test_resized_as_loaded_is_not_rounded_between(void **state) {
    (void)state;
    cnn_tensor *image = sample(CNN_UINT8, 11, 17, 3), *floats = NULL, *want = NULL, *got = NULL;
    OK(cnn_image_save(in_folder("r.png"), image, false, 95));
    OK(cnn_cast(&floats, image, CNN_FLOAT32));
    OK(cnn_image_fit(&want, floats, 5, 5, CNN_BILINEAR, false, CNN_ASPECT_PAD));
    OK(cnn_image_load_resized(&got, in_folder("r.png"), 3, 5, 5, CNN_BILINEAR, CNN_ASPECT_PAD));
    assert_int_equal(got->dtype, CNN_FLOAT32);
    assert_true(furthest(got, want) == 0);
    cnn_tensor_release(got);
    got = NULL;
    assert_fails(cnn_image_load_resized(&got, in_folder("r.png"), 3, 0, 5, CNN_BILINEAR, CNN_ASPECT_CROP),
                 CNN_ERROR_ARGUMENT, "image.load: 'size' must be");
    assert_fails(cnn_image_load_resized(&got, in_folder("no.png"), 3, 5, 5, CNN_BILINEAR, CNN_ASPECT_CROP),
                 CNN_ERROR_IO, "no.png");
    assert_null(got);
    cnn_tensor_release(image);
    cnn_tensor_release(floats);
    cnn_tensor_release(want);
}

static void test_every_instruction_set_resizes_alike(void **state) {
    (void)state;
    static const char *const sets[] = {"sse2", "avx2", "avx512"};
    const char *before = cnn_cpu();
    for (int64_t channels = 1; channels <= 5; channels++) {
        cnn_tensor *image = sample(CNN_FLOAT32, 33, 47, channels), *first = NULL;
        for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
            cnn_tensor *out = NULL;
            if (cnn_set_cpu(sets[i]) != CNN_OK) continue;
            OK(cnn_image_resize(&out, image, 14, 60, CNN_BICUBIC, true));
            if (first) assert_true(furthest(first, out) == 0);
            if (first)
                cnn_tensor_release(out);
            else
                first = out;
        }
        cnn_tensor_release(image);
        cnn_tensor_release(first);
    }
    OK(cnn_set_cpu(before));
}

static void test_resize_errors(void **state) {
    (void)state;
    cnn_tensor *image = sample(CNN_FLOAT32, 2, 2, 1), *out = NULL;
    assert_fails(cnn_image_resize(&out, image, 0, 4, CNN_BILINEAR, false), CNN_ERROR_ARGUMENT,
                 "'size' must be");
    assert_fails(cnn_image_resize(&out, image, 4, INT64_MAX, CNN_BILINEAR, false), CNN_ERROR_ARGUMENT,
                 "'size' must be");
    assert_true(cnn_image_resize(&out, image, 1 << 24, 1 << 24, CNN_BILINEAR, false) != CNN_OK);
    cnn_tensor_release(image);
    image = sample(CNN_INT32, 2, 2, 1);
    assert_fails(cnn_image_resize(&out, image, 2, 4, CNN_BILINEAR, false), CNN_ERROR_DTYPE,
                 "uint8 or float32");
    assert_null(out);
    cnn_tensor_release(image);
}

/* ---- colour and ranges --------------------------------------------------------------------------------- */

static void test_grey_weighs_red_green_and_blue(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_FLOAT32, SHAPE(1, 4, 3), 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1), *out = NULL;
    OK(cnn_image_to_grayscale(&out, t));
    EXPECT(out, CNN_FLOAT32, SHAPE(1, 4, 1), 0.2989f, 0.587f, 0.114f, 0.9999f);
    cnn_tensor_release(t);
    t = TENSOR(CNN_UINT8, SHAPE(1, 1, 2, 3), 255, 255, 255, 10, 20, 30);
    OK(cnn_image_to_grayscale(&out, t));
    EXPECT(out, CNN_UINT8, SHAPE(1, 1, 2, 1), 255, 18);
    cnn_tensor_release(t);
    t = TENSOR(CNN_UINT8, SHAPE(1, 2, 1), 255, 255);
    assert_fails(cnn_image_to_grayscale(&out, t), CNN_ERROR_SHAPE,
                 "expected 3 channels (red, green, blue), got 1");
    cnn_tensor_release(t);
}

static void test_rgb_repeats_grey_and_drops_alpha(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(1, 2), 3, 4), *out = NULL;
    OK(cnn_image_to_rgb(&out, t));
    EXPECT(out, CNN_UINT8, SHAPE(1, 2, 3), 3, 3, 3, 4, 4, 4);
    cnn_tensor_release(t);
    t = TENSOR(CNN_FLOAT32, SHAPE(1, 1, 1, 4), 1, 2, 3, 4);
    OK(cnn_image_to_rgb(&out, t));
    EXPECT(out, CNN_FLOAT32, SHAPE(1, 1, 1, 3), 1, 2, 3);
    cnn_tensor_release(t);
    t = TENSOR(CNN_FLOAT32, SHAPE(1, 1, 2), 5, 0);
    OK(cnn_image_to_rgb(&out, t));
    EXPECT(out, CNN_FLOAT32, SHAPE(1, 1, 3), 5, 5, 5);
    cnn_tensor_release(t);
}

static void test_normalize_takes_each_picture_by_itself(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(3, 1, 2, 1), 10, 20, 100, 200, 7, 7), *out = NULL;
    OK(cnn_image_normalize(&out, t, false));
    EXPECT(out, CNN_FLOAT32, SHAPE(3, 1, 2, 1), 0, 1, 0, 1, 0, 0);
    OK(cnn_image_normalize(&out, t, true));
    EXPECT(out, CNN_FLOAT32, SHAPE(3, 1, 2, 1), -1, 1, -1, 1, 0, 0);
    cnn_tensor_release(t);
    t = TENSOR(CNN_FLOAT32, SHAPE(1, 2), 1, INFINITY);
    assert_fails(cnn_image_normalize(&out, t, false), CNN_ERROR_ARGUMENT, "not a finite number");
    cnn_tensor_release(t);
}

/* ---- grids --------------------------------------------------------------------------------------------- */

static void test_grid_lays_pictures_out(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(3, 1, 2, 1), 1, 2, 3, 4, 5, 6), *out = NULL;
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.columns = 2, .padding = 1, .background = 1}));
    EXPECT(out, CNN_UINT8, SHAPE(5, 7, 1), 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 255, 3, 4, 255, 255,
           255, 255, 255, 255, 255, 255, 255, 5, 6, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255);
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.columns = 1, .zoom = 2}));
    EXPECT(out, CNN_UINT8, SHAPE(6, 4, 1), 1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4, 5, 5, 6, 6, 5, 5,
           6, 6);
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.columns = 9, .normalize = 1}));
    EXPECT(out, CNN_FLOAT32, SHAPE(1, 6, 1), 0, 1, 0, 1, 0, 1);
    cnn_tensor_release(t);
}

static void test_grid_of_feature_maps_and_kernels(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_FLOAT32, SHAPE(1, 2, 2), 0, 10, 4, 30), *out = NULL; /* maps 0, 4 and 10, 30 */
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.columns = 2}));
    EXPECT(out, CNN_FLOAT32, SHAPE(1, 4, 1), 0, 1, 0, 1);
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.columns = 1, .normalize = -1}));
    EXPECT(out, CNN_FLOAT32, SHAPE(2, 2, 1), 0, 4, 10, 30);
    cnn_tensor_release(t);
    t = TENSOR(CNN_FLOAT32, SHAPE(2, 1, 1, 2), 0, 1, 2, 3); /* two samples of two maps: a row each */
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.kind = CNN_GRID_MAPS, .normalize = -1}));
    EXPECT(out, CNN_FLOAT32, SHAPE(2, 2, 1), 0, 1, 2, 3);
    cnn_tensor_release(t);
    t = TENSOR(CNN_FLOAT32, SHAPE(1, 1, 3, 2), 0, 1, 2, 3, 4, 5); /* two kernels in colour */
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.kind = CNN_GRID_KERNELS, .normalize = -1}));
    EXPECT(out, CNN_FLOAT32, SHAPE(1, 2, 3), 0, 2, 4, 1, 3, 5);
    cnn_tensor_release(t);
    t = TENSOR(CNN_FLOAT32, SHAPE(1, 1, 2, 3), 0, 1, 2, 3, 4,
               5); /* three kernels of two channels: a row each */
    OK(cnn_image_grid(&out, t, &(cnn_grid_options){.kind = CNN_GRID_KERNELS, .normalize = -1}));
    EXPECT(out, CNN_FLOAT32, SHAPE(3, 2, 1), 0, 3, 1, 4, 2, 5);
    cnn_tensor_release(t);
}

static void test_grid_errors(void **state) {
    (void)state;
    cnn_tensor *t = TENSOR(CNN_UINT8, SHAPE(1, 2), 1, 2), *out = NULL;
    assert_fails(cnn_image_grid(&out, t, &(cnn_grid_options){.columns = 1}), CNN_ERROR_SHAPE, "two axes");
    cnn_tensor_release(t);
    t = TENSOR(CNN_UINT8, SHAPE(1, 1, 1, 2), 1, 2);
    assert_fails(cnn_image_grid(&out, t, &(cnn_grid_options){.columns = -1}), CNN_ERROR_ARGUMENT,
                 "'columns'");
    assert_fails(cnn_image_grid(&out, t, &(cnn_grid_options){.background = 2}), CNN_ERROR_ARGUMENT,
                 "'background'");
    assert_fails(cnn_image_grid(&out, t, &(cnn_grid_options){.kind = CNN_GRID_PICTURES}), CNN_ERROR_SHAPE,
                 "1, 3 or 4 channels");
    assert_null(out);
    cnn_tensor_release(t);
}

/* ---- memory -------------------------------------------------------------------------------------------- */

static cnn_status load_png(cnn_tensor **out, void *path) {
    return cnn_image_load(out, path, 3);
}

static cnn_status load_resized_some(cnn_tensor **out, void *path) {
    return cnn_image_load_resized(out, path, 4, 5, 7, CNN_BILINEAR, CNN_ASPECT_PAD);
}

static cnn_status resize_some(cnn_tensor **out, void *image) {
    return cnn_image_resize(out, image, 5, 5, CNN_BICUBIC, false);
}

static cnn_status grid_some(cnn_tensor **out, void *image) {
    return cnn_image_grid(out, image, &(cnn_grid_options){.kind = CNN_GRID_MAPS, .zoom = 2});
}

static cnn_status save_some(cnn_tensor **out, void *image) {
    (void)out;
    return cnn_image_save(in_folder("m.png"), image, false, 95);
}

static void test_exhausted_memory_is_an_error(void **state) {
    (void)state;
    cnn_tensor *image = sample(CNN_UINT8, 6, 6, 3);
    const char *const names[] = {"m.png", "m.jpg", "m.bmp"};
    for (size_t i = 0; i < 3; i++) {
        OK(cnn_image_save(in_folder(names[i]), image, false, 95));
        assert_survives(load_png, (void *)in_folder(names[i]));
        assert_survives(load_resized_some, (void *)in_folder(names[i]));
    }
    assert_survives(resize_some, image);
    assert_survives(grid_some, image);
    assert_survives(save_some, image);
    cnn_tensor_release(image);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    empty_folder();
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lossless_formats_give_back_what_was_saved),
        cmocka_unit_test(test_jpeg_is_near_what_was_saved),
        cmocka_unit_test(test_floats_from_0_to_1_become_bytes),
        cmocka_unit_test(test_pnm_values_are_scaled_to_bytes),
        cmocka_unit_test(test_every_kind_of_file_is_seen_as_by_others),
        cmocka_unit_test(test_jpeg_in_color_becomes_grey_and_opaque),
        cmocka_unit_test(test_jpeg_with_bytes_too_many_is_whole),
        cmocka_unit_test(test_gif_gives_its_first_frame),
        cmocka_unit_test(test_load_errors_name_file_and_reason),
        cmocka_unit_test(test_files_cut_short_are_refused),
        cmocka_unit_test(test_no_part_of_a_file_gives_part_of_a_picture),
        cmocka_unit_test(test_damaged_files_do_no_harm),
        cmocka_unit_test(test_save_errors_leave_nothing),
        cmocka_unit_test(test_a_full_disk_keeps_the_old_file),
        cmocka_unit_test(test_resize_agrees_with_other_frameworks),
        cmocka_unit_test(test_resized_bytes_are_the_floats_rounded),
        cmocka_unit_test(test_the_same_size_is_the_same_picture),
        cmocka_unit_test(test_crop_and_pad_resize_the_centre_part_and_the_framed_picture),
        cmocka_unit_test(test_crop_and_pad_of_extreme_sizes),
        cmocka_unit_test(test_resized_as_loaded_is_not_rounded_between),
        cmocka_unit_test(test_every_instruction_set_resizes_alike),
        cmocka_unit_test(test_resize_errors),
        cmocka_unit_test(test_grey_weighs_red_green_and_blue),
        cmocka_unit_test(test_rgb_repeats_grey_and_drops_alpha),
        cmocka_unit_test(test_normalize_takes_each_picture_by_itself),
        cmocka_unit_test(test_grid_lays_pictures_out),
        cmocka_unit_test(test_grid_of_feature_maps_and_kernels),
        cmocka_unit_test(test_grid_errors),
        cmocka_unit_test(test_exhausted_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
