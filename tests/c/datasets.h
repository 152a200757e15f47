/* For tests of datasets: small ones, and what comes out of them as text. */
#ifndef DATASETS_H
#define DATASETS_H

#include "tensor_test.h"

#include "base/memory.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* int32 scalars 0 … count-1. */
static inline cnn_dataset *numbers(int64_t count) {
    cnn_tensor *tensor;
    cnn_dataset *dataset;
    OK(cnn_arange(&tensor, CNN_INT32, 0, (double)count, 1));
    OK(cnn_dataset_from_tensors(&dataset, &tensor, 1));
    cnn_tensor_release(tensor);
    return dataset;
}

/* The node that a call makes, in place of its input: OVER(dataset, cnn_dataset_take, input, 3). */
#define OVER(dataset, make, ...)                                                                             \
    do {                                                                                                     \
        cnn_dataset *input = dataset;                                                                        \
        OK(make(&dataset, __VA_ARGS__));                                                                     \
        cnn_dataset_release(input);                                                                          \
    } while (0)

/* ---- mappers --------------------------------------------------------------------------------------------- */

static inline cnn_status replace(cnn_element *element, double value) {
    cnn_tensor *made;
    CNN_TRY(cnn_tensor_full(&made, CNN_INT32, 0, NULL, value));
    cnn_tensor_release(element->parts[0]);
    element->parts[0] = made;
    return CNN_OK;
}

/* 100 times the number and two random digits, made at a leisure that differs between elements. */
static inline cnn_status add_chance(void *worker, void *data, cnn_element *element, cnn_random *random) {
    int32_t digits, more;
    (void)worker;
    (void)data;
    cnn_random_integers(random, &digits, 1, 0, 10);
    cnn_random_integers(NULL, &more, 1, 0, 10); /* the thread's default one is the same */
    usleep((unsigned)(digits * 20));
    return replace(element, 100 * cnn_tensor_get(element->parts[0], 0) + 10 * digits + more);
}

static const cnn_mapper chance = {.apply = add_chance};

/* ---- what comes out -------------------------------------------------------------------------------------- */

typedef struct text {
    char bytes[8000];
    size_t length;
} text;

static inline void say(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(t->bytes + t->length, sizeof t->bytes - t->length, format, args);
    va_end(args);
    t->length += (size_t)length;
    assert_true(t->length < sizeof t->bytes);
}

static inline void say_element(text *t, const cnn_element *element) {
    const cnn_tensor *first = element->parts[0];
    if (first->rank > 0) say(t, "[");
    for (int64_t i = 0; i < first->size; i++) say(t, i ? " %g" : "%g", cnn_tensor_get(first, i));
    say(t, first->rank > 0 ? "] " : " ");
}

/* Elements, each followed by a space, batches in brackets, and "| " where an iteration ends. Good for eight calls. */
static inline const char *run_with(cnn_dataset *dataset, const cnn_iterator_options *options) {
    static text kept[8];
    static int next;
    text *t = &kept[next++ % 8];
    cnn_iterator *iterator;
    cnn_element element;
    t->length = 0;
    OK(cnn_iterator_new(&iterator, dataset, options));
    int64_t left = options && options->iterations ? options->iterations : 1;
    while (left > 0) {
        OK(cnn_iterator_next(iterator, &element));
        if (element.count == 0) {
            say(t, "| ");
            left--;
            continue;
        }
        assert_non_null(element.name);
        say_element(t, &element);
        cnn_element_clear(&element);
    }
    OK(cnn_iterator_next(iterator, &element));
    assert_int_equal(element.count, 0);
    cnn_iterator_free(iterator);
    return t->bytes;
}

static inline const char *run(cnn_dataset *dataset) {
    return run_with(dataset, NULL);
}

/* Runs, checks, and releases the dataset. */
static inline void expect(cnn_dataset *dataset, const char *elements) {
    assert_string_equal(run(dataset), elements);
    cnn_dataset_release(dataset);
}

#endif
