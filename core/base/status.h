/* Errors: every fallible function returns a cnn_status and leaves a message for its thread.
 * Messages read "Conv2D: 'strides' must be a positive integer or a pair of them, got -1":
 * who, what, what was expected, what came. */
#ifndef CNN_BASE_STATUS_H
#define CNN_BASE_STATUS_H

#include "cnn.h"

/* Sets the thread's message from a printf format and returns status, so that callers write
 * `return cnn_fail(CNN_ERROR_SHAPE, "concat: …")`. */
cnn_status cnn_fail(cnn_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the message that stands, and returns status unchanged. */
cnn_status cnn_fail_in(cnn_status status, const char *context);

/* The one way an exhausted memory is reported. */
cnn_status cnn_fail_memory(size_t bytes);

/* Tells the handler of cnn_on_warning. */
void cnn_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CNN_TRY(expression)                                                                                  \
    do {                                                                                                     \
        cnn_status try_status_ = (expression);                                                               \
        if (try_status_ != CNN_OK) return try_status_;                                                       \
    } while (0)

#endif
