/* Tensors as text, by the rules of NumPy's array printing (numpy/core/arrayprint.py) with its default
 * options: the shortest digits that tell a float from its neighbours, at most 8 after the point; one exponent
 * form for all where the magnitudes lie far apart; beyond 1000 elements only 3 at each end of an axis; lines
 * of 75 columns. */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/status.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION = 8, THRESHOLD = 1000, EDGE = 3, LINE = 75, WORD = 64 };

typedef struct printer {
    const cnn_tensor *tensor;
    int64_t stride[CNN_MAX_RANK];
    bool summary, exponent;
    int pad_left, pad_right; /* columns before and after the point */
    int precision;           /* digits after the point in the exponent form */
    int width;               /* of an integer */
    cnn_text text;
} printer;

/* ---- one number -------------------------------------------------------------------------------------- */

/* ±d.ddd · 10^exponent */
typedef struct decimal {
    bool negative;
    int count, exponent;
    char digits[24];
} decimal;

/* From "-1.234e+05", whatever the locale's decimal point. */
static decimal parse_decimal(const char *text) {
    decimal d = {.negative = *text == '-'};
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && d.count < (int)sizeof d.digits) d.digits[d.count++] = *p;
    d.exponent = *p ? atoi(p + 1) : 0;
    while (d.count > 1 && d.digits[d.count - 1] == '0') d.count--;
    return d;
}

static bool reads_back(cnn_dtype dtype, double value, const char *text) {
    char element[4];
    double back;
    cnn_store(dtype, element, 0, strtod(text, NULL));
    cnn_row_to_double(&back, dtype, element, 1);
    return back == value;
}

static decimal shortest_decimal(cnn_dtype dtype, double value) {
    char text[WORD];
    for (int digits = 0;; digits++) {
        snprintf(text, sizeof text, "%.*e", digits, value);
        if (digits == PRECISION || reads_back(dtype, value, text)) return parse_decimal(text);
    }
}

/* The digits before and after the point, each as text; whole has the sign. */
static void split_decimal(const decimal *d, char *whole, char *fraction) {
    int n = 0, m = 0;
    if (d->negative) whole[n++] = '-';
    if (d->exponent < 0) whole[n++] = '0';
    for (int i = 0; i <= d->exponent; i++) whole[n++] = i < d->count ? d->digits[i] : '0';
    for (int i = d->exponent + 1; i < d->count; i++) fraction[m++] = i < 0 ? '0' : d->digits[i];
    while (m > 0 && fraction[m - 1] == '0') m--;
    whole[n] = fraction[m] = '\0';
}

/* With at most PRECISION digits after the point, and every digit before it exact. */
static void positional(cnn_dtype dtype, double value, char *whole, char *fraction) {
    decimal d = shortest_decimal(dtype, value);
    int places = d.count - 1 - d.exponent;
    if (places >= 0 && places <= PRECISION) {
        split_decimal(&d, whole, fraction);
        return;
    }
    char text[WORD];
    int length = snprintf(text, sizeof text, "%.*f", PRECISION, value), point = length - PRECISION - 1;
    memcpy(whole, text, (size_t)point);
    whole[point] = '\0';
    memcpy(fraction, text + point + 1, PRECISION + 1);
    for (int m = PRECISION; m > 0 && fraction[m - 1] == '0'; m--) fraction[m - 1] = '\0';
}

/* A number by itself, as NumPy prints a scalar. */
static void format_scalar(char *out, cnn_dtype dtype, double value) {
    double size = fabs(value);
    if (isnan(value)) {
        strcpy(out, "nan");
    } else if (isinf(value)) {
        strcpy(out, value < 0 ? "-inf" : "inf");
    } else if (size != 0 && (size < 1e-4 || size >= 1e16)) {
        decimal d = shortest_decimal(dtype, value);
        snprintf(out, WORD, "%s%c%s%.*se%+03d", d.negative ? "-" : "", d.digits[0], d.count > 1 ? "." : "",
                 d.count - 1, d.digits + 1, d.exponent);
    } else {
        char whole[WORD], fraction[WORD];
        decimal d = shortest_decimal(dtype, value);
        split_decimal(&d, whole, fraction);
        snprintf(out, WORD, "%.30s.%.30s", whole, *fraction ? fraction : "0");
    }
}

/* An element in its column; returns its length. */
static int format_element(const printer *p, char *out, int64_t position) {
    double value = cnn_tensor_get(p->tensor, position);
    cnn_dtype dtype = p->tensor->dtype;
    if (dtype == CNN_INT32 || dtype == CNN_UINT8) return snprintf(out, WORD, "%*d", p->width, (int)value);
    if (!isfinite(value)) {
        const char *name = isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
        return snprintf(out, WORD, "%*s", p->pad_left + p->pad_right + 1, name);
    }
    char whole[WORD], fraction[WORD];
    if (!p->exponent) {
        positional(dtype, value, whole, fraction);
        return snprintf(out, WORD, "%*.30s.%-*.30s", p->pad_left, whole, p->pad_right, fraction);
    }
    snprintf(whole, sizeof whole, "%.*e", p->precision, value);
    decimal d = parse_decimal(whole);
    memset(fraction, '0', sizeof fraction);
    memcpy(fraction, d.digits + 1, (size_t)(d.count - 1));
    snprintf(whole, sizeof whole, "%s%c", d.negative ? "-" : "", d.digits[0]);
    return snprintf(out, WORD, "%*.30s.%.*se%+03d", p->pad_left, whole, p->precision, fraction, d.exponent);
}

/* ---- columns ----------------------------------------------------------------------------------------- */

/* Calls visit for every element that is shown. */
static void each_shown(const printer *p, int axis, int64_t offset, void (*visit)(void *, double),
                       void *data) {
    const cnn_tensor *t = p->tensor;
    if (axis == t->rank) {
        visit(data, cnn_tensor_get(t, offset));
        return;
    }
    int64_t size = t->shape[axis];
    bool elided = p->summary && size > 2 * EDGE;
    for (int64_t i = 0; i < size; i++) {
        if (elided && i == EDGE) i = size - EDGE;
        each_shown(p, axis + 1, offset + i * p->stride[axis], visit, data);
    }
}

typedef struct extent {
    printer *p;
    double greatest, least; /* of all, for integers; of the magnitudes above 0, for floats */
    bool finite, special, negative_infinity;
} extent;

static void measure(void *data, double value) {
    extent *e = data;
    cnn_dtype dtype = e->p->tensor->dtype;
    if (!isfinite(value)) {
        e->special = true;
        if (isinf(value) && value < 0) e->negative_infinity = true;
        return;
    }
    e->finite = true;
    if (dtype == CNN_FLOAT32 || dtype == CNN_BFLOAT16) {
        value = fabs(value);
        if (value == 0) return;
    }
    if (value > e->greatest) e->greatest = value;
    if (value < e->least) e->least = value;
}

static void widen(int *width, size_t length) {
    if ((int)length > *width) *width = (int)length;
}

static void measure_digits(void *data, double value) {
    printer *p = data;
    char whole[WORD], fraction[WORD];
    if (!isfinite(value)) return;
    if (p->exponent) {
        decimal d = shortest_decimal(p->tensor->dtype, value);
        widen(&p->pad_left, d.negative ? 2 : 1);
        widen(&p->precision, (size_t)d.count - 1);
    } else {
        positional(p->tensor->dtype, value, whole, fraction);
        widen(&p->pad_left, strlen(whole));
        widen(&p->pad_right, strlen(fraction));
    }
}

static void plan_columns(printer *p) {
    extent e = {.p = p, .greatest = -INFINITY, .least = INFINITY};
    each_shown(p, 0, 0, measure, &e);
    if (p->tensor->dtype == CNN_INT32 || p->tensor->dtype == CNN_UINT8) {
        int low = snprintf(NULL, 0, "%d", (int)e.least), high = snprintf(NULL, 0, "%d", (int)e.greatest);
        p->width = low > high ? low : high;
        return;
    }
    if (e.greatest > 0)
        p->exponent =
            e.greatest >= 1e8 || e.least < 1e-4 || (double)((float)e.greatest / (float)e.least) > 1000;
    each_shown(p, 0, 0, measure_digits, p);
    if (p->exponent && e.finite) p->pad_right = p->precision + 4;
    if (e.special) {
        int offset = p->pad_right + 1, infinity = 3 + e.negative_infinity;
        widen(&p->pad_left, (size_t)(infinity > offset ? infinity - offset : 0));
        widen(&p->pad_left, (size_t)(3 > offset ? 3 - offset : 0));
    }
}

/* ---- lines ------------------------------------------------------------------------------------------- */

static void strip_spaces(cnn_text *text) {
    while (text->length > 0 && text->bytes[text->length - 1] == ' ') text->bytes[--text->length] = '\0';
}

/* The last axis: words, broken into lines. `width` is what a line may take. */
static void print_row(printer *p, int64_t offset, int indent, int width) {
    int64_t size = p->tensor->shape[p->tensor->rank - 1];
    bool elided = p->summary && size > 2 * EDGE;
    int column = indent;
    for (int64_t i = 0; i < size; i++) {
        char word[WORD + 1] = "...";
        int length = 3;
        if (elided && i == EDGE)
            i = size - EDGE - 1; /* the dots stand for all up to here */
        else
            length = format_element(p, word, offset + i);
        if (column + length > width) {
            strip_spaces(&p->text);
            cnn_text_add(&p->text, "\n%*s", indent, "");
            column = indent;
        }
        cnn_text_add(&p->text, "%s%s", word, i + 1 < size ? " " : "");
        column += length + 1;
    }
}

static void print_axis(printer *p, int axis, int64_t offset, int indent, int width) {
    int left = p->tensor->rank - axis;
    cnn_text_add(&p->text, "[");
    if (left == 1) {
        print_row(p, offset, indent, width - 1);
    } else {
        int64_t size = p->tensor->shape[axis];
        bool elided = p->summary && size > 2 * EDGE;
        for (int64_t i = 0; i < size; i++) {
            if (i > 0) cnn_text_add(&p->text, "%.*s%*s", left - 1, "\n\n\n\n\n\n\n\n", indent, "");
            if (elided && i == EDGE) {
                cnn_text_add(&p->text, "...");
                i = size - EDGE - 1;
            } else {
                print_axis(p, axis + 1, offset + i * p->stride[axis], indent + 1, width - 1);
            }
        }
    }
    cnn_text_add(&p->text, "]");
}

cnn_status cnn_tensor_format(char **out, const cnn_tensor *a) {
    CNN_TRY(cnn_check_values("tostring", a));
    printer p = {.tensor = a, .summary = a->size > THRESHOLD};
    cnn_strides(a->rank, a->shape, p.stride);
    if (a->size == 0) {
        cnn_text_add(&p.text, "[]");
    } else if (a->rank == 0) {
        char word[WORD];
        double value = cnn_tensor_get(a, 0);
        if (a->dtype == CNN_INT32 || a->dtype == CNN_UINT8)
            snprintf(word, sizeof word, "%d", (int)value);
        else
            format_scalar(word, a->dtype, value);
        cnn_text_add(&p.text, "%s", word);
    } else {
        plan_columns(&p);
        print_axis(&p, 0, 0, 1, LINE);
    }
    char *text = cnn_text_take(&p.text);
    if (!text) return cnn_fail_memory((size_t)a->size);
    *out = text;
    return CNN_OK;
}
