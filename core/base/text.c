#include "base/text.h"
#include "base/memory.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(cnn_text *text, size_t more) {
    if (text->failed) return false;
    if (text->length + more < text->capacity) return true;
    size_t capacity = (text->length + more + 1) * 2;
    char *bytes = cnn_alloc_refused(capacity) ? NULL : realloc(text->bytes, capacity);
    if (!bytes) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void cnn_text_add(cnn_text *text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (needed < 0 || !reserve(text, (size_t)needed)) return;
    va_start(args, format);
    vsnprintf(text->bytes + text->length, (size_t)needed + 1, format, args);
    va_end(args);
    text->length += (size_t)needed;
}

void cnn_text_pad(cnn_text *text, size_t column, char fill) {
    size_t start = text->length;
    while (start > 0 && text->bytes[start - 1] != '\n') start--;
    while (text->length - start < column && reserve(text, 1)) {
        text->bytes[text->length++] = fill;
        text->bytes[text->length] = '\0';
    }
}

char *cnn_text_take(cnn_text *text) {
    if (!reserve(text, 1)) {
        cnn_text_free(text);
        return NULL;
    }
    text->bytes[text->length] = '\0';
    char *bytes = text->bytes;
    *text = (cnn_text){0};
    return bytes;
}

void cnn_text_free(cnn_text *text) {
    free(text->bytes);
    *text = (cnn_text){0};
}

char *cnn_shape_text(char *buffer, size_t capacity, int rank, const int64_t *shape) {
    size_t used = (size_t)snprintf(buffer, capacity, "(");
    for (int i = 0; i < rank && used < capacity; i++) {
        const char *comma = i + 1 < rank ? ", " : rank == 1 ? "," : "";
        if (shape[i] < 0)
            used += (size_t)snprintf(buffer + used, capacity - used, "None%s", comma);
        else
            used += (size_t)snprintf(buffer + used, capacity - used, "%" PRId64 "%s", shape[i], comma);
    }
    if (used < capacity) snprintf(buffer + used, capacity - used, ")");
    return buffer;
}

/* Levenshtein's distance over words of at most 63 letters, letters' case counting half as much as a letter:
 * in units of a half. */
static int distance(const char *a, const char *b) {
    enum { MOST = 63 };
    size_t n = strlen(b);
    if (strlen(a) > MOST || n > MOST) return 1000;
    int row[MOST + 1];
    for (size_t j = 0; j <= n; j++) row[j] = (int)(2 * j);
    for (size_t i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = (int)(2 * i);
        for (size_t j = 1; j <= n; j++) {
            int x = a[i - 1], y = b[j - 1];
            int change = x == y ? 0 : tolower(x) == tolower(y) ? 1 : 2;
            int best = diagonal + change;
            diagonal = row[j];
            if (row[j] + 2 < best) best = row[j] + 2;
            if (row[j - 1] + 2 < best) best = row[j - 1] + 2;
            row[j] = best;
        }
    }
    return row[n];
}

const char *cnn_nearest(const char *word, const char *const *candidates) {
    const char *nearest = NULL;
    int least = (int)strlen(word) < 4 ? 3 : 2 * ((int)strlen(word) / 3 + 1) + 1;
    for (; *candidates; candidates++) {
        int d = distance(word, *candidates);
        if (d < least) {
            least = d;
            nearest = *candidates;
        }
    }
    return nearest;
}

void cnn_snake_case(char *out, size_t capacity, const char *name) {
    size_t used = 0;
    for (size_t i = 0; name[i] && used + 2 < capacity; i++) {
        bool upper = isupper((unsigned char)name[i]);
        bool after_word =
            i > 0 && (islower((unsigned char)name[i - 1]) ||
                      (isalnum((unsigned char)name[i - 1]) && islower((unsigned char)name[i + 1])));
        if (upper && after_word) out[used++] = '_';
        out[used++] = (char)tolower((unsigned char)name[i]);
    }
    out[used] = '\0';
}

char *cnn_thousands(char *buffer, size_t capacity, int64_t number) {
    char digits[32];
    int count = snprintf(digits, sizeof digits, "%" PRId64, number);
    size_t used = 0;
    for (int i = 0; i < count && used + 2 < capacity; i++) {
        if (i > 0 && digits[i - 1] != '-' && (count - i) % 3 == 0) buffer[used++] = ',';
        buffer[used++] = digits[i];
    }
    buffer[used] = '\0';
    return buffer;
}

char *cnn_number_text(char buffer[CNN_NUMBER_TEXT], double value) {
    if (isnan(value)) return strcpy(buffer, "nan");
    if (value == floor(value) && fabs(value) < 1e15) {
        snprintf(buffer, CNN_NUMBER_TEXT, "%.0f", value);
        return buffer;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buffer, CNN_NUMBER_TEXT, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value) break;
    }
    return buffer;
}
