/* Objects made from classes: a layer, an optimizer, a loss is a C struct whose class lists its arguments in a
 * table of cnn_param. That one table reads a JSON config into the struct with every check and message, writes
 * it back for saving, orders the positional arguments of Lua, and tells help() of the arguments. */
#ifndef CNN_BASE_CONFIG_H
#define CNN_BASE_CONFIG_H

#include "cnn.h"
#include <cJSON.h>

typedef enum cnn_param_type {
    CNN_PARAM_BOOL,   /* bool */
    CNN_PARAM_INT,    /* int */
    CNN_PARAM_FLOAT,  /* double */
    CNN_PARAM_STRING, /* char *, owned; NULL for null */
    CNN_PARAM_CHOICE, /* int: position in choices */
    CNN_PARAM_PAIR,   /* int[2]: given as an integer or two */
    CNN_PARAM_SHAPE, /* cnn_shape: given as a list or, of one size, an integer; null is rank -1, as a size -1 */
    CNN_PARAM_JSON,    /* cJSON *, owned: for what the class itself makes sense of; NULL for null */
    CNN_PARAM_NOTHING, /* no member: nothing but null (or false) is supported; written as its default */
    CNN_PARAM_IGNORED  /* no member: whatever comes changes nothing, and it is never written */
} cnn_param_type;

/* In whose words configs are written: ours, with values as they were given; those of Keras 2, as its HDF5 files have
 * them (and Keras 3 still reads); or those of Keras 3, as .keras archives do. All are read alike. */
typedef enum cnn_keras { CNN_KERAS_NONE, CNN_KERAS_2, CNN_KERAS_3 } cnn_keras;

/* What a CNN_PARAM_JSON may be, and how Keras writes it. */
typedef struct cnn_param_spec {
    cnn_status (*check)(const cJSON *value);              /* NULL for null; may be left out */
    cJSON *(*write)(const cJSON *value, cnn_keras keras); /* of Keras 2 or 3; NULL when memory is out */
} cnn_param_spec;

typedef struct cnn_shape {
    int rank; /* -1: not given */
    int64_t sizes[CNN_MAX_RANK];
} cnn_shape;

typedef struct cnn_param {
    const char *name;
    cnn_param_type type;
    size_t offset;
    const char *fallback;       /* the default as JSON; NULL: the argument is required */
    double low, high;           /* bounds of numbers, inclusive; both 0: none; high 0: none above */
    const char *choices;        /* of CNN_PARAM_CHOICE, separated by spaces */
    bool nullable;              /* null is allowed: numbers become NaN, integers INT_MIN */
    bool derived;               /* read but never written back */
    cnn_keras only;             /* written in this Keras's words alone; what is Keras 3's is ours too */
    bool if_set;                /* not written for Keras while it is null: not all versions know it */
    const cnn_param_spec *spec; /* of CNN_PARAM_JSON; may be NULL */
    const char *help;
} cnn_param;

/* An argument of Keras's of which only the neutral value, null, is supported; and one that changes nothing here. */
#define CNN_UNSUPPORTED_PARAM(name_, ...)                                                                    \
    { .name = name_, .type = CNN_PARAM_NOTHING, .fallback = "null", .help = "only nil", __VA_ARGS__ }
#define CNN_IGNORED_PARAM(name_)                                                                             \
    { .name = name_, .type = CNN_PARAM_IGNORED, .fallback = "null", .derived = true, .help = "of no effect" }

/* One line of a table: CNN_PARAM(INT, conv2d, filters, NULL, .low = 1, .help = "channels of the output") for the
 * member `filters` of struct conv2d, required since it has no default; and for an argument called otherwise. */
#define CNN_PARAM(type_, struct_, member_, fallback_, ...)                                                   \
    CNN_PARAM_NAMED(type_, struct_, member_, #member_, fallback_, __VA_ARGS__)
#define CNN_PARAM_NAMED(type_, struct_, member_, name_, fallback_, ...)                                      \
    {                                                                                                        \
        .name = name_, .type = CNN_PARAM_##type_, .offset = offsetof(struct_, member_),                      \
        .fallback = fallback_, __VA_ARGS__                                                                   \
    }

typedef struct cnn_class {
    const char *kind;        /* "layer", for messages */
    const char *name;        /* "Conv2D" */
    const char *aliases;     /* beside the name in lower case with underscores: "mse MSE"; may be NULL */
    size_t size;             /* of the struct, whose first member is `const cnn_class *class` */
    const cnn_param *params; /* ends with a NULL name; the order is that of positional arguments */
} cnn_class;

/* What help() says of a class is not in the struct: it stands in the comment above the class's definition, from where
 * it is taken when the program is built. */
#define CNN_CLASS(kind_, name_, aliases_, struct_, params_)                                                  \
    { .kind = kind_, .name = name_, .aliases = aliases_, .size = sizeof(struct_), .params = params_ }

/* Every object begins so. */
typedef struct cnn_object {
    const cnn_class *class;
} cnn_object;

/* By name, lower-case name or alias in a NULL-terminated list; an error names the nearest. */
cnn_status cnn_class_find(const cnn_class **out, const cnn_class *const *classes, const char *name);

/* A zeroed object of the class with its params read from config, a JSON object or NULL. Unknown and missing
 * arguments, wrong types and values out of bounds are errors. */
cnn_status cnn_object_new(void **out, const cnn_class *class, const cJSON *config);

/* From "adam" or {"class_name": "Adam", "config": {…}}. */
cnn_status cnn_object_from(void **out, const cnn_class *const *classes, const cJSON *spec);

/* The object's params as a new JSON object, as they were given or in Keras's words; NULL when out of memory. */
cJSON *cnn_object_config(const void *object);
cJSON *cnn_object_config_as(const void *object, cnn_keras keras);
/* {"class_name", "config"} with, in Keras 3's form, the module and a null registered_name. Takes over config. */
cJSON *cnn_keras_object(const char *class_name, cJSON *config, const char *module, cnn_keras keras);

/* Frees what the params own and the object. */
void cnn_object_free(void *object);

/* The same for a bare struct and table, as parts of objects use it. */
cnn_status cnn_params_read(const char *who, const cnn_param *params, const cJSON *config, void *target);
cJSON *cnn_params_write(cJSON *into, const cnn_param *params, const void *source, cnn_keras keras);
void cnn_params_free(const cnn_param *params, void *target);

/* The positions in a choices text: "valid same", "same" or "SAME" → 1; -1 if not there. And back: writes the word. */
int cnn_choice_find(const char *choices, const char *word);
const char *cnn_choice_name(const char *choices, int position, char *buffer, size_t capacity);

/* The JSON, which it deletes, as text whose numbers read back exactly (cJSON would round them to 15 digits): those that
 * are infinite as ±1e999, not a number as null. NULL for NULL, and without memory. The caller frees with free(). */
char *cnn_json_print(cJSON *owned);

/* JSON text parsed, with an error that shows where it goes wrong. NULL or "" gives an empty object. */
cnn_status cnn_json_parse(cJSON **out, const char *who, const char *text);

#endif
