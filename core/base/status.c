#include "base/status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

const char *cnn_error_message(void) {
    return message;
}

cnn_status cnn_fail(cnn_status status, const char *format, ...) {
    char text[sizeof message]; /* the arguments may lie in the message that stands */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    strcpy(message, text);
    return status;
}

cnn_status cnn_fail_in(cnn_status status, const char *context) {
    char before[sizeof message];
    memcpy(before, message, sizeof message);
    snprintf(message, sizeof message, "%s: %.900s", context, before);
    return status;
}

cnn_status cnn_fail_memory(size_t bytes) {
    return cnn_fail(CNN_ERROR_MEMORY, "out of memory (%zu bytes asked for)", bytes);
}

/* ---- warnings ---------------------------------------------------------------------------------------- */

static void print_warning(void *data, const char *text) {
    (void)data;
    fprintf(stderr, "cnn: %s\n", text);
}

static struct {
    pthread_mutex_t lock;
    cnn_warning *handler;
    void *data;
} warnings = {.lock = PTHREAD_MUTEX_INITIALIZER, .handler = print_warning};

void cnn_on_warning(cnn_warning *handler, void *data) {
    pthread_mutex_lock(&warnings.lock);
    warnings.handler = handler;
    warnings.data = data;
    pthread_mutex_unlock(&warnings.lock);
}

void cnn_warn(const char *format, ...) {
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&warnings.lock);
    if (warnings.handler) warnings.handler(warnings.data, text);
    pthread_mutex_unlock(&warnings.lock);
}
