/* What the parent makes of the stream that a child reading an HDF5 file sends it. The child here is not the real one,
 * but sends whatever the test says: the bytes to read hold, behind HDF5's signature, the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/h5_inner.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIGNATURE = 8, CAPACITY = 1 << 20 };

static uint8_t bytes[SIGNATURE + CAPACITY] = "\x89HDF\r\n\x1a\n";
static size_t used;
static size_t again; /* from here on the stream comes again and again; 0: it ends */

_Noreturn void cnn_h5_child(const cnn_h5_source *source, int pipe) {
    const char *from = (const char *)source->bytes + SIGNATURE,
               *end = (const char *)source->bytes + source->size;
    while (from < end) {
        ssize_t count = write(pipe, from, (size_t)(end - from));
        if (count < 0) _exit(1);
        from += count;
        if (again && from == end) from = (const char *)source->bytes + SIGNATURE + again;
    }
    _exit(0);
}

/* ---- making streams ---------------------------------------------------------------------------------------------- */

static void add(const void *from, size_t size) {
    assert_true(used + size <= CAPACITY);
    memcpy(bytes + SIGNATURE + used, from, size);
    used += size;
}

static void record(cnn_h5_record r, const char *name, const void *values) {
    r.name_size = (uint32_t)strlen(name);
    add(&r, sizeof r);
    add(name, r.name_size);
    if (values) add(values, r.value_size);
}

static void step(cnn_h5_step kind, const char *name) {
    record((cnn_h5_record){.step = kind}, name, NULL);
}

static void begin(void) {
    used = 0;
    step(CNN_H5_GROUP, "");
}

static void finish(void) {
    step(CNN_H5_LEAVE, "");
    step(CNN_H5_DONE, "");
}

static void add_text(const char *name, const char *text) {
    record((cnn_h5_record){.step = CNN_H5_ATTRIBUTE, .type = CNN_H5_STRING, .value_size = strlen(text) + 1},
           name, text);
}

/* Two groups, a dataset of each type, attributes. */
static void add_example(void) {
    static const float floats[] = {1, 2, 3, 4, 5, 6};
    static const int64_t integers[] = {7, 8};
    begin();
    add_text("version", "3.1");
    step(CNN_H5_GROUP, "layers");
    record(
        (cnn_h5_record){
            .step = CNN_H5_DATASET, .type = CNN_H5_FLOAT32, .rank = 2, .shape = {2, 3}, .value_size = 24},
        "kernel", floats);
    add_text("note", "");
    step(CNN_H5_LEAVE, "");
    record(
        (cnn_h5_record){
            .step = CNN_H5_DATASET, .type = CNN_H5_UINT32, .rank = 1, .shape = {2}, .value_size = 16},
        "seed", integers);
    step(CNN_H5_LEAVE, "");
    step(CNN_H5_LEAVE, "");
    record(
        (cnn_h5_record){
            .step = CNN_H5_ATTRIBUTE, .type = CNN_H5_STRING, .rank = 1, .shape = {2}, .value_size = 4},
        "names", "a\0b");
    finish();
}

/* ---- reading them ------------------------------------------------------------------------------------------------ */

static cnn_status read_stream(cnn_h5_node **root) {
    return cnn_h5_read_bytes(root, "stream", bytes, SIGNATURE + used);
}

static void assert_reads(void) {
    cnn_h5_node *root;
    if (read_stream(&root) != CNN_OK) fail_msg("%s", cnn_error_message());
    cnn_h5_free(root);
}

static void assert_refused_as(const char *message) {
    cnn_h5_node *root = NULL;
    size_t before = cnn_memory_used();
    assert_int_equal(read_stream(&root), CNN_ERROR_FORMAT);
    if (!strstr(cnn_error_message(), message)) fail_msg("'%s' is not in '%s'", message, cnn_error_message());
    assert_null(root);
    assert_int_equal(cnn_memory_used(), before);
}

static void test_a_stream_in_order(void **state) {
    (void)state;
    cnn_h5_node *root;
    add_example();
    assert_int_equal(read_stream(&root), CNN_OK);
    assert_int_equal(cnn_f32(cnn_h5_find(root, "layers/kernel")->value->tensor)[5], 6);
    assert_int_equal(cnn_h5_find(root, "layers/seed")->value->integers[1], 8);
    assert_string_equal(cnn_h5_get(root, "names")->strings[1], "b");
    assert_string_equal(cnn_h5_text(root, "version"), "3.1");
    cnn_h5_free(root);
}

static void test_streams_out_of_order(void **state) {
    (void)state;
    used = 0;
    assert_refused_as("did not get through");
    step(CNN_H5_DONE, "");
    assert_refused_as("out of order");
    used = 0;
    step(CNN_H5_LEAVE, "");
    assert_refused_as("out of order");
    used = 0;
    add_text("before", "root");
    assert_refused_as("out of order");
    used = 0;
    record((cnn_h5_record){.step = CNN_H5_DATASET, .value_size = 4}, "", "abc");
    assert_refused_as("out of order");
    begin();
    step(CNN_H5_DONE, "");
    assert_refused_as("out of order");
    begin();
    step(CNN_H5_LEAVE, "");
    step(CNN_H5_GROUP, "second root");
    assert_refused_as("out of order");
    begin();
    step((cnn_h5_step)77, "");
    assert_refused_as("out of order");
    begin();
    record((cnn_h5_record){.step = CNN_H5_DATASET, .value_size = 4}, "x", "abc");
    step(CNN_H5_GROUP, "in a dataset");
    assert_refused_as("out of order");
}

static void test_bad_names(void **state) {
    (void)state;
    begin();
    step(CNN_H5_GROUP, "");
    assert_refused_as("out of order");
    begin();
    step(CNN_H5_GROUP, "a/b");
    assert_refused_as("out of order");
    begin();
    add(&(cnn_h5_record){.step = CNN_H5_GROUP, .name_size = 3}, sizeof(cnn_h5_record));
    add("a\0b", 3);
    assert_refused_as("NUL");
    begin();
    add(&(cnn_h5_record){.step = CNN_H5_GROUP, .name_size = UINT32_MAX}, sizeof(cnn_h5_record));
    assert_refused_as("too long");
    begin();
    step(CNN_H5_FAILED, "\x1b[31m'kernel' is\nbroken");
    assert_refused_as("stream is damaged: ?[31m'kernel' is?broken");
}

static void refuse_value(cnn_h5_record r, const void *values, const char *message) {
    for (cnn_h5_step kind = CNN_H5_DATASET; kind <= CNN_H5_ATTRIBUTE; kind++) {
        begin();
        r.step = kind;
        record(r, "x", values);
        if (kind == CNN_H5_DATASET) step(CNN_H5_LEAVE, "");
        finish();
        assert_refused_as(message);
    }
}

static void test_bad_values(void **state) {
    (void)state;
    const int64_t large = UINT32_MAX + INT64_C(1);
    refuse_value((cnn_h5_record){.type = 4, .value_size = 4}, "abc", "cannot be");
    refuse_value((cnn_h5_record){.rank = CNN_MAX_RANK + 1}, NULL, "cannot be");
    refuse_value((cnn_h5_record){.rank = 1, .shape = {-1}}, NULL, "cannot be");
    refuse_value((cnn_h5_record){.rank = 2, .shape = {INT64_MAX, INT64_MAX}}, NULL, "more comes");
    refuse_value((cnn_h5_record){.rank = 2, .shape = {0, INT64_MAX}}, NULL, "more comes");
    refuse_value((cnn_h5_record){.rank = 1, .shape = {1 << 30}, .value_size = UINT64_C(4) << 30}, NULL,
                 "more comes");
    refuse_value((cnn_h5_record){.rank = 1, .shape = {2}, .value_size = 4}, "abc", "no end");
    refuse_value((cnn_h5_record){.type = CNN_H5_INT64, .value_size = 4}, "abc", "no end");
    refuse_value((cnn_h5_record){.type = CNN_H5_UINT32, .value_size = 8}, &large, "out of its range");
    refuse_value((cnn_h5_record){.type = CNN_H5_STRING, .value_size = 0}, NULL, "no end");
    refuse_value((cnn_h5_record){.type = CNN_H5_STRING, .value_size = UINT64_MAX}, NULL, "more comes");
    refuse_value((cnn_h5_record){.type = CNN_H5_STRING, .rank = 1, .shape = {0}, .value_size = 2}, "a",
                 "no end");
    refuse_value((cnn_h5_record){.type = CNN_H5_STRING, .value_size = 3}, "abc", "no end");
    refuse_value((cnn_h5_record){.type = CNN_H5_STRING, .rank = 1, .shape = {2}, .value_size = 2}, "a",
                 "no end");
}

static void test_too_much(void **state) {
    (void)state;
    begin();
    again = used;
    step(CNN_H5_GROUP, "deeper and deeper");
    assert_refused_as("too deep");
    begin();
    add_text("another", "attribute");
    assert_refused_as("too many attributes");
    begin();
    step(CNN_H5_GROUP, "groups without end");
    step(CNN_H5_LEAVE, "");
    assert_refused_as("more comes");
    again = 0;
}

/* A good stream, cut and changed anywhere: never more than an error. */
static void test_changed_streams(void **state) {
    (void)state;
    uint32_t random = 1;
    add_example();
    assert_reads();
    size_t whole = used, before = cnn_memory_used();
    for (int i = 0; i < 300; i++) {
        add_example();
        assert_int_equal(used, whole);
        for (int j = 0; j <= i % 3; j++) {
            random = random * 1664525u + 1013904223u;
            bytes[SIGNATURE + (random >> 8) % whole] ^=
                (uint8_t)(i % 2 ? 1u << (random >> 29) : random >> 24);
        }
        if (i % 4 == 0) used = (random >> 8) % whole;
        cnn_h5_node *root = NULL;
        cnn_status status = read_stream(&root);
        if (status != CNN_OK && status != CNN_ERROR_FORMAT)
            fail_msg("%d: %s", (int)status, cnn_error_message());
        cnn_h5_free(root);
        assert_int_equal(cnn_memory_used(), before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_in_order), cmocka_unit_test(test_streams_out_of_order),
        cmocka_unit_test(test_bad_names),         cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_too_much),          cmocka_unit_test(test_changed_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
