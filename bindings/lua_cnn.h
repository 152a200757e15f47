/* What the binding files share: errors, tensors on the Lua stack, configs as JSON, arguments by position or
 * name.
 *
 * Rules that keep misuse from Lua harmless
 *   A Lua error leaves a C function at once (longjmp). Whatever is not Lua's own belongs to a userdata on the
 *   stack before the next call that may raise; the lcnn_push_ functions take their object over in every case.
 *   A pointer got from a userdata is good until Lua code may run (any allocation may run a finalizer that
 *   closes a tensor), so arguments are converted first and their pointers fetched last, right before use.
 *
 * A new concept is one file lua_NAME.c with `int lcnn_open_NAME(lua_State *L)`, which gets the table cnn as
 * its argument and adds to it, a line at the end of this file and one in lua_cnn.c. */
#ifndef LUA_CNN_H
#define LUA_CNN_H

#include "cnn.h"
#include "base/config.h"

#include <cJSON.h>
#include <lauxlib.h>
#include <lua.h>

CNN_API int luaopen_cnn(lua_State *L);

/* ---- errors -------------------------------------------------------------------------------------------- */

/* Raises the core's message, with the position of the Lua code that called; never returns. */
int lcnn_error(lua_State *L, cnn_status status) __attribute__((noreturn));
void lcnn_check(lua_State *L, cnn_status status);

/* Raises a message of the binding's own (formats of lua_pushfstring), with the same position. */
int lcnn_fail(lua_State *L, const char *format, ...) __attribute__((noreturn));

/* Pushes "script.lua:12: " for the innermost Lua code that is not part of the module itself, or "". */
void lcnn_where(lua_State *L);

/* Pushes what stands at index as an error's text tells it: tensors by dtype and shape, tables and the like by type, other
 * values as they are. */
const char *lcnn_describe(lua_State *L, int index);

/* Whether the Lua function at index is part of the module. */
bool lcnn_is_own(lua_State *L, int index);

/* "WHO: WHAT 'word' (did you mean 'x'?)": candidates are the string keys of the table at index. */
int lcnn_unknown(lua_State *L, const char *who, const char *what, const char *word, int index)
    __attribute__((noreturn));

/* ---- tensors ------------------------------------------------------------------------------------------- */

#define LCNN_TENSOR "tensor"

/* Takes over the reference, also when Lua's memory runs out. May run a garbage collection. */
void lcnn_push_tensor(lua_State *L, cnn_tensor *owned);
/* The tensor at arg, borrowed; anything else, and a closed tensor, is an argument error. */
cnn_tensor *lcnn_check_tensor(lua_State *L, int arg);
/* NULL if there is something else at index. A closed tensor raises. */
cnn_tensor *lcnn_test_tensor(lua_State *L, int index);
/* Also accepts numbers, booleans and nested tables of them, putting the new tensor in their place on the
 * stack: float32, or uint8 for booleans. index is absolute. */
cnn_tensor *lcnn_to_tensor(lua_State *L, int index);

/* lcnn_to_tensor with a dtype for what it converts; -1 for the usual one. */
cnn_tensor *lcnn_to_dtype(lua_State *L, int index, int dtype);
/* lcnn_check_tensor, and it must have elements: a symbolic tensor raises, in the name of who. */
cnn_tensor *lcnn_check_eager(lua_State *L, int arg, const char *who);
/* How most functions end: raises unless status is good, else pushes *owned and returns 1. */
int lcnn_push_result(lua_State *L, cnn_status status, cnn_tensor **owned);
/* An element as a Lua number (an integer for integer dtypes), and back (towards zero, as cnn_cast). */
void lcnn_push_number(lua_State *L, const cnn_tensor *tensor, int64_t position);
void lcnn_set_number(cnn_tensor *tensor, int64_t position, double value);
/* What the number becomes there. */
double lcnn_fit_number(cnn_dtype dtype, double value);

/* All arithmetic of Lua code goes through these, which push one tensor. Operands are stack indices. */
int lcnn_apply_binary(lua_State *L, cnn_binary_op op, int a, int b);
int lcnn_apply_unary(lua_State *L, cnn_unary_op op, int a);
int lcnn_apply_reduce(lua_State *L, cnn_reduce_op op, int a, unsigned axes, bool keepdims);

/* The name of a file at arg; anything else raises, in the name of who's argument. */
const char *lcnn_check_path(lua_State *L, int arg, const char *who, const char *name);
/* ---- values and arguments ------------------------------------------------------------------------------ */

double lcnn_check_number(lua_State *L, int arg, const char *who, const char *name);
int64_t lcnn_check_integer(lua_State *L, int arg, const char *who, const char *name);
bool lcnn_opt_boolean(lua_State *L, int arg, const char *who, const char *name, bool fallback);
/* A dtype by name at arg, or fallback when nil or absent. */
cnn_dtype lcnn_opt_dtype(lua_State *L, int arg, const char *who, cnn_dtype fallback);
/* Whole numbers from a table, or from one number, into list; returns how many (at most CNN_MAX_RANK). */
int lcnn_check_list(lua_State *L, int arg, const char *who, const char *what, int64_t *list);
/* The same for sizes: none negative. */
int lcnn_check_shape(lua_State *L, int arg, const char *who, int64_t *shape);
/* Axis or position `axis` of Lua (from 1, negative from the end) counted from 0. */
int lcnn_check_axis(lua_State *L, lua_Integer axis, int rank, const char *who);
/* Pushes a table of sizes; -1 for a size not known. */
void lcnn_push_shape(lua_State *L, int rank, const int64_t *shape);
/* Pushes text made by malloc and frees it, also when Lua's memory runs out; NULL raises out of memory. */
void lcnn_push_text(lua_State *L, char *owned);

/* Brings the arguments from stack position `first` on into the order of names (NULL-terminated): afterwards
 * position first + i holds the value of names[i], nil if it was not given, and the top is the last of them.
 * Understood are f(a, b) and f{a, b, name = c}: a lone argument that is a plain table holds the others. Where
 * names[0] begins with '*', that argument is a list: then f{2, 3, name = c} and f({2, 3}, c) are
 * f{{2, 3}, name = c}. Unknown names raise. */
void lcnn_args(lua_State *L, int first, const char *who, const char *const *names);

/* Raises where the table at index, a list or an array, has a name other than the one allowed, or any if that is NULL. */
void lcnn_check_names(lua_State *L, int index, const char *who, const char *allowed);

/* The same into a JSON object, pushed as a box that owns it. Names that are not in the list pass, for the
 * core to judge. With NULL as names no positional arguments are allowed. */
cJSON *lcnn_args_json(lua_State *L, int first, const char *who, const char *const *names);
/* The same with the names of a class's params. */
cJSON *lcnn_args_class(lua_State *L, int first, const cnn_class *class);

/* ---- datasets ------------------------------------------------------------------------------------------ */

#define LCNN_DATASET "dataset"

/* The dataset at arg, borrowed; anything else is an argument error. */
cnn_dataset *lcnn_check_dataset(lua_State *L, int arg);
/* NULL if there is something else at index. */
cnn_dataset *lcnn_test_dataset(lua_State *L, int index);

/* ---- JSON ---------------------------------------------------------------------------------------------- */

/* The value at index as JSON, pushed as a box that owns it. Tables with keys 1…n become arrays (the empty
 * table too), those with string keys objects; cnn.null is null; an object whose metatable has a function
 * __json stands for what that returns. who and the path to the value begin the error message. */
cJSON *lcnn_to_json(lua_State *L, int index, const char *who);
/* The same with numbers that JSON has no words for: infinite ones and NaN. */
cJSON *lcnn_to_json_any(lua_State *L, int index, const char *who);
/* Pushes a box that takes over the JSON, also when Lua's memory runs out; NULL raises out of memory. */
void lcnn_own_json(lua_State *L, cJSON *owned);
/* Takes the JSON out of the box at index; the caller must cJSON_Delete it. */
cJSON *lcnn_json_take(lua_State *L, int index);
/* Replaces the box on the top by its text, as libcnn's constructors take it, and returns that. */
const char *lcnn_json_print(lua_State *L);
/* A value of Lua: null in an array is cnn.null, null in an object an absent field. */
void lcnn_push_json(lua_State *L, const cJSON *json);

/* Pushes the metatable that specs of a kind have: those that cnn.optimizers, losses, metrics, … make. */
void lcnn_push_spec_type(lua_State *L, const char *kind);

/* ---- augmentation -------------------------------------------------------------------------------------- */

/* What the step or pipeline of cnn.augment at index does, borrowed, if it has no Lua functions; else NULL, as of anything
 * else. */
cnn_augment *lcnn_test_augment(lua_State *L, int index);
/* Maps elements by a cnn_augment without any Lua; its data is one that lcnn_test_augment gave, retained. */
extern const cnn_mapper lcnn_augment_mapper;

/* ---- registering --------------------------------------------------------------------------------------- */

/* A function that carries a number and its name, as upvalues, so that one C function serves a family. */
typedef struct lcnn_entry {
    const char *name;
    lua_CFunction function;
    int op;
} lcnn_entry;
int lcnn_upvalue_op(lua_State *L);
const char *lcnn_upvalue_name(lua_State *L);

/* Into the table on the top; the list ends with a NULL name. */
void lcnn_add_entries(lua_State *L, const lcnn_entry *entries);
/* As methods of tensors and as functions of the module, whose table is at index cnn. */
void lcnn_add_methods(lua_State *L, int cnn, const lcnn_entry *entries);
/* The table of tensors' methods. */
void lcnn_push_methods(lua_State *L);

/* ---- the parts of the module, in the order they are opened --------------------------------------------- */

int lcnn_open_json(lua_State *L);
int lcnn_open_tensor(lua_State *L);
int lcnn_open_arith(lua_State *L);
int lcnn_open_index(lua_State *L);
int lcnn_open_nn(lua_State *L);
int lcnn_open_tape(lua_State *L);
int lcnn_open_signal(lua_State *L);
int lcnn_open_random(lua_State *L);
int lcnn_open_generator(lua_State *L);
int lcnn_open_data(lua_State *L);
int lcnn_open_image(lua_State *L);
int lcnn_open_adjust(lua_State *L);
int lcnn_open_augment(lua_State *L);
int lcnn_open_dataset(lua_State *L);
int lcnn_open_layer(lua_State *L);
int lcnn_open_callback(lua_State *L);
int lcnn_open_model(lua_State *L);
int lcnn_open_train(lua_State *L);
int lcnn_open_custom(lua_State *L);
int lcnn_open_saving(lua_State *L);
int lcnn_open_explain(lua_State *L);
int lcnn_open_show(lua_State *L);
int lcnn_open_io(lua_State *L);
int lcnn_open_buffer(lua_State *L);
int lcnn_open_help(lua_State *L);

/* The Lua half of the module, compiled in by embed.lua; the last has name NULL. */
typedef struct lcnn_source {
    const char *name, *code;
    size_t size;
} lcnn_source;
extern const lcnn_source lcnn_sources[];
/* Likewise what help() loads when it is first called: itself, and what document.lua found. */
extern const lcnn_source lcnn_reference[];

#endif
