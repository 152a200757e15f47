/* Text: a growing buffer, and the words an error message needs. */
#ifndef CNN_BASE_TEXT_H
#define CNN_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string that grows. Failure to allocate is remembered and told once, by cnn_text_take. */
typedef struct cnn_text {
    char *bytes; /* malloc'ed, NUL-terminated; NULL while empty */
    size_t length, capacity;
    bool failed;
} cnn_text;

void cnn_text_add(cnn_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cnn_text_pad(cnn_text *text, size_t column, char fill); /* up to column of the current line */
/* The string, now the caller's to free(); NULL when memory ran out on the way. */
char *cnn_text_take(cnn_text *text);
void cnn_text_free(cnn_text *text);

/* "(None, 28, 28, 1)" as Keras writes shapes, into buffer; returns buffer. -1 is None. */
char *cnn_shape_text(char *buffer, size_t capacity, int rank, const int64_t *shape);
enum { CNN_SHAPE_TEXT = 192 }; /* room for any shape */

/* The candidate nearest to word in edit distance, or NULL when none is near. candidates ends with NULL. */
const char *cnn_nearest(const char *word, const char *const *candidates);

/* "MaxPooling2D" → "max_pooling2d", as Keras names layers. */
void cnn_snake_case(char *out, size_t capacity, const char *name);

/* The shortest decimal that reads back as the same number, or nan, inf, -inf, into buffer; returns buffer. */
enum { CNN_NUMBER_TEXT = 32 };
char *cnn_number_text(char buffer[CNN_NUMBER_TEXT], double value);

/* "55,744" */
char *cnn_thousands(char *buffer, size_t capacity, int64_t number);

#endif
