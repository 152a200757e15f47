/* cnn.nn: ops as functions, with TensorFlow's names and order of arguments; and what lua_op.h promises. The functions that
 * are compositions are in prelude/nn.lua. */
#include "lua_op.h"
#include "ops/activation.h"
#include "ops/arith.h"
#include "ops/conv_kinds.h"
#include "ops/dense.h"
#include "ops/dropout.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/tape.h"
#include "base/status.h"

#include <string.h>

/* ---- ops on the stack ------------------------------------------------------------------------------------ */

bool lcnn_traced(lua_State *L, int index) {
    cnn_tensor *tensor = lcnn_test_tensor(L, index);
    return tensor && (!tensor->data || cnn_tape_follows(&tensor, 1));
}

int lcnn_no_gradient(lua_State *L, const char *who, int index) {
    lcnn_check(L, cnn_tape_block(who, lcnn_check_tensor(L, index), lcnn_check_tensor(L, -1)));
    return 1;
}

void lcnn_to_float(lua_State *L, int index) {
    cnn_tensor *tensor = lcnn_check_tensor(L, index), *cast = NULL;
    if (tensor->dtype == CNN_FLOAT32) return;
    if (tensor->data)
        lcnn_check(L, cnn_cast(&cast, tensor, CNN_FLOAT32));
    else
        lcnn_check(L, cnn_op_apply(&cast, &cnn_op_cast, NULL, &tensor, 1, false));
    lcnn_push_tensor(L, cast);
    if (lcnn_traced(L, index)) lcnn_no_gradient(L, "astype", index);
    lua_replace(L, index);
}

static bool takes_as_is(const cnn_op *op, int input) {
    return input < 32 && ((op->constant | op->any_dtype) >> input & 1);
}

/* What an op makes of whole numbers that a tape follows, without recording how, is as they are without a gradient. */
static void carry_blocks(lua_State *L, const cnn_op *op, const int *inputs, int count) {
    for (int i = 0; i < count; i++) {
        const cnn_tensor *input = lcnn_check_tensor(L, inputs[i]);
        bool constant = i < 32 && (op->constant >> i & 1);
        if (input->data && input->dtype != CNN_FLOAT32 && !constant && lcnn_traced(L, inputs[i]))
            lcnn_no_gradient(L, op->class.name, inputs[i]);
    }
}

/* The step that all applications of ops share. */
static int apply(lua_State *L, const cnn_op *op, const void *attributes, const int *inputs, int count,
                 bool training) {
    cnn_tensor *tensors[CNN_MAX_INPUTS] = {NULL}, *out = NULL;
    for (int i = 0; i < count; i++)
        if (!takes_as_is(op, i)) lcnn_to_float(L, inputs[i]);
    for (int i = 0; i < count; i++) tensors[i] = lcnn_check_tensor(L, inputs[i]);
    lcnn_push_result(L, cnn_op_apply(&out, op, attributes, tensors, count, training), &out);
    carry_blocks(L, op, inputs, count);
    return 1;
}

int lcnn_apply_op(lua_State *L, const cnn_op *op, const void *attributes, const int *inputs, int count) {
    return apply(L, op, attributes, inputs, count, false);
}

int lcnn_apply_1(lua_State *L, const cnn_op *op, const void *attributes, int a) {
    return apply(L, op, attributes, &a, 1, false);
}

int lcnn_apply_2(lua_State *L, const cnn_op *op, const void *attributes, int a, int b) {
    const int inputs[] = {a, b};
    return apply(L, op, attributes, inputs, 2, false);
}

int lcnn_apply_reshape(lua_State *L, int index, int rank, const int64_t *sizes) {
    cnn_tensor *out = NULL;
    if (!lcnn_traced(L, index))
        return lcnn_push_result(L, cnn_reshape(&out, lcnn_check_tensor(L, index), rank, sizes), &out);
    cnn_reshape_op attributes = {.class = &cnn_op_reshape.class, .target_shape.rank = rank};
    memcpy(attributes.target_shape.sizes, sizes, (size_t)rank * sizeof *sizes);
    return lcnn_apply_1(L, &cnn_op_reshape, &attributes, index);
}

/* ---- arguments ------------------------------------------------------------------------------------------- */

/* A plain table with names and nothing else. */
static bool is_options(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE || lua_rawlen(L, index) > 0) return false;
    if (lua_getmetatable(L, index)) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushnil(L);
    if (!lua_next(L, index)) return false;
    lua_pop(L, 2);
    return true;
}

/* f{t, name = c}: the first argument is a tensor, and no list. */
static bool begins_with_tensor(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE) return false;
    lua_rawgeti(L, index, 1);
    bool tensor = luaL_testudata(L, -1, LCNN_TENSOR) != NULL;
    lua_pop(L, 1);
    return tensor;
}

void lcnn_args_mixed(lua_State *L, int first, const char *who, const char *const *names) {
    enum { MOST = 16 };
    int top = lua_gettop(L);
    const char *plain[MOST + 1] = {NULL};
    for (int i = 0; names[i] && i < MOST; i++) plain[i] = names[i] + (names[i][0] == '*');
    if (top == first && begins_with_tensor(L, first)) names = plain;
    if (top > first && is_options(L, top)) { /* f(a, b, {name = c}) is f{a, b, name = c} */
        lua_newtable(L);
        for (lua_pushnil(L); lua_next(L, top);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, top + 1);
        }
        for (int i = first; i < top; i++) {
            lua_pushvalue(L, i);
            lua_rawseti(L, top + 1, i - first + 1);
        }
        lua_replace(L, first);
        lua_settop(L, first);
        names = plain;
    }
    lcnn_args(L, first, who, names);
}

/*** For the Lua half: args(who, names, …) gives the values of the names, in order. */
static int spread_args(lua_State *L) {
    const char *who = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int count = (int)lua_rawlen(L, 2);
    const char **names = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *names, 0);
    lua_insert(L, 3);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 2, i + 1);
        names[i] = lua_tostring(L, -1); /* the table keeps it */
        lua_pop(L, 1);
    }
    names[count] = NULL;
    lcnn_args_mixed(L, 4, who, names);
    return count;
}

/* ---- the functions --------------------------------------------------------------------------------------- */

enum { MOST_NAMES = 8 };

/* One function: its arguments in TensorFlow's order, of which the first `tensors` are inputs of the op; the others go to
 * the op's arguments of the same position in `attributes`. */
typedef struct nn_function {
    const char *name;
    const cnn_op *op;
    int tensors;
    bool training; /* applied as in training: dropout */
    const char *arguments[MOST_NAMES], *attributes[MOST_NAMES];
} nn_function;

static const nn_function functions[] = {
    {"relu", &cnn_op_relu, 1, false, {"*features"}, {0}},
    {"relu6", &cnn_op_relu6, 1, false, {"*features"}, {0}},
    {"leaky_relu", &cnn_op_leaky_relu, 1, false, {"*features", "alpha"}, {"negative_slope"}},
    {"elu", &cnn_op_elu, 1, false, {"*features", "alpha"}, {"alpha"}},
    {"selu", &cnn_op_selu, 1, false, {"*features"}, {0}},
    {"sigmoid", &cnn_op_sigmoid, 1, false, {"*x"}, {0}},
    {"tanh", &cnn_op_tanh, 1, false, {"*x"}, {0}},
    {"softplus", &cnn_op_softplus, 1, false, {"*features"}, {0}},
    {"softsign", &cnn_op_softsign, 1, false, {"*features"}, {0}},
    {"silu", &cnn_op_silu, 1, false, {"*features"}, {0}},
    {"swish", &cnn_op_silu, 1, false, {"*features"}, {0}},
    {"gelu", &cnn_op_gelu, 1, false, {"*features", "approximate"}, {"approximate"}},
    {"softmax", &cnn_op_softmax, 1, false, {"*logits", "axis"}, {"axis"}},
    {"log_softmax", &cnn_op_log_softmax, 1, false, {"*logits", "axis"}, {"axis"}},
    {"conv2d",
     &cnn_op_conv2d,
     2,
     false,
     {"input", "filters", "strides", "padding", "dilations", "groups"},
     {"strides", "padding", "dilation_rate", "groups"}},
    {"depthwise_conv2d",
     &cnn_op_depthwise_conv2d,
     2,
     false,
     {"input", "filter", "strides", "padding", "dilations"},
     {"strides", "padding", "dilation_rate"}},
    {"max_pool2d",
     &cnn_op_max_pool2d,
     1,
     false,
     {"input", "ksize", "strides", "padding"},
     {"pool_size", "strides", "padding"}},
    {"avg_pool2d",
     &cnn_op_avg_pool2d,
     1,
     false,
     {"input", "ksize", "strides", "padding"},
     {"pool_size", "strides", "padding"}},
    {"bias_add", &cnn_op_bias_add, 2, false, {"value", "bias"}, {0}},
    {"dropout", &cnn_op_dropout, 1, true, {"x", "rate", "seed"}, {"rate", "seed"}},
    {"stop_gradient", &cnn_op_stop_gradient, 1, false, {"*input"}, {0}},
    {NULL, NULL, 0, false, {0}, {0}}};

/* Windows may come as TensorFlow's four numbers, {1, rows, columns, 1}; axes count from 1 in Lua. */
static void adapt(lua_State *L, const nn_function *f, const char *argument) {
    int value = lua_gettop(L);
    if (f->op == &cnn_op_leaky_relu && lua_isnil(L, value)) { /* Keras's layer has another default */
        lua_pushnumber(L, 0.2);
        lua_replace(L, value);
    }
    if (strcmp(argument, "axis") == 0 && lua_isinteger(L, value)) {
        int rank = lcnn_check_tensor(L, 2)->rank;
        lua_pushinteger(L, lcnn_check_axis(L, lua_tointeger(L, value), rank, f->name));
        lua_replace(L, value);
    }
    if (lua_type(L, value) != LUA_TTABLE || lua_rawlen(L, value) != 4) return;
    lua_rawgeti(L, value, 1);
    lua_rawgeti(L, value, 4);
    if (lua_tonumber(L, -1) != 1 || lua_tonumber(L, -2) != 1)
        lcnn_fail(L, "%s: '%s' must be 1 for samples and channels", f->name, argument);
    lua_createtable(L, 2, 0);
    for (int i = 1; i <= 2; i++) {
        lua_rawgeti(L, value, i + 1);
        lua_rawseti(L, -2, i);
    }
    lua_replace(L, value);
    lua_settop(L, value);
}

static int free_object(lua_State *L) {
    void **box = lua_touserdata(L, 1);
    cnn_object_free(*box);
    *box = NULL;
    return 0;
}

#define OBJECT "cnn.object"

/* The op's arguments, from those on the stack, as an object that a box on the top owns. */
static void *push_attributes(lua_State *L, const nn_function *f) {
    void **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, OBJECT);
    lua_newtable(L);
    int table = lua_gettop(L);
    for (int i = 0; f->attributes[i]; i++) {
        lua_pushvalue(L, 2 + f->tensors + i);
        adapt(L, f, f->arguments[f->tensors + i]);
        lua_setfield(L, table, f->attributes[i]);
    }
    const cJSON *config = lcnn_to_json(L, table, f->name);
    bool none = cJSON_IsArray(config); /* the empty table */
    lcnn_check(L, cnn_object_new(box, &f->op->class, none ? NULL : config));
    lua_settop(L, table - 1);
    return *box;
}

static int call_function(lua_State *L) {
    const nn_function *f = lua_touserdata(L, lua_upvalueindex(1));
    int inputs[2] = {2, 3};
    lua_pushnil(L); /* 1: nothing, so that arguments begin at 2 */
    lua_insert(L, 1);
    lcnn_args_mixed(L, 2, f->name, f->arguments);
    for (int i = 0; i < f->tensors; i++) {
        const char *name = f->arguments[i] + (f->arguments[i][0] == '*');
        if (lua_isnil(L, inputs[i])) lcnn_fail(L, "%s: '%s' is missing", f->name, name);
        lcnn_to_tensor(L, inputs[i]);
    }
    const void *attributes = f->attributes[0] ? push_attributes(L, f) : NULL;
    return apply(L, f->op, attributes, inputs, f->tensors, f->training);
}

/* ---- crossentropies of logits ---------------------------------------------------------------------------- */

/* Labels at 1, logits at 2. The op wants [M, classes] (sigmoid: [M, 1]) and gives [M]; the result is shaped as
 * TensorFlow's: as the logits, without their last axis unless kept. */
static int crossentropy(lua_State *L) {
    const cnn_op *op = lua_touserdata(L, lua_upvalueindex(1));
    const char *who = lua_tostring(L, lua_upvalueindex(2));
    lcnn_args_mixed(L, 1, who, (const char *const[]){"labels", "logits", NULL});
    if (lua_isnil(L, 1) || lua_isnil(L, 2)) lcnn_fail(L, "%s: 'labels' and 'logits' must be given", who);
    const cnn_tensor *labels = lcnn_to_tensor(L, 1), *logits = lcnn_to_tensor(L, 2);
    bool sigmoid = op == &cnn_op_binary_crossentropy, sparse = op == &cnn_op_sparse_categorical_crossentropy;
    int rank = logits->rank - !sigmoid;
    if (rank < 0) lcnn_fail(L, "%s: the logits must have an axis of classes", who);
    if (labels->rank != (sparse ? rank : logits->rank))
        lcnn_fail(L, "%s: labels of rank %d do not fit logits of rank %d", who, labels->rank, logits->rank);
    int64_t shape[CNN_MAX_RANK], classes = sigmoid ? 1 : logits->shape[rank];
    memcpy(shape, logits->shape, (size_t)rank * sizeof *shape);
    if (rank != 1 || sigmoid) {
        const int64_t rows[] = {-1, classes};
        lcnn_apply_reshape(L, 1, sparse ? 1 : 2, rows);
        lua_replace(L, 1);
        lcnn_apply_reshape(L, 2, 2, rows);
        lua_replace(L, 2);
    }
    cnn_loss attributes = {.class = &op->class, .from_logits = true, .axis = -1};
    lcnn_apply_2(L, op, &attributes, 2, 1);
    return rank == 1 ? 1 : lcnn_apply_reshape(L, lua_gettop(L), rank, shape);
}

static void add_crossentropy(lua_State *L, const char *name, const cnn_op *op) {
    lua_pushlightuserdata(L, (void *)op);
    lua_pushstring(L, name);
    lua_pushcclosure(L, crossentropy, 2);
    lua_setfield(L, -2, name);
}

/* ---- registration ---------------------------------------------------------------------------------------- */

int lcnn_open_nn(lua_State *L) {
    luaL_newmetatable(L, OBJECT);
    lua_pushcfunction(L, free_object);
    lua_setfield(L, -2, "__gc");
    luaL_getsubtable(L, 1, "nn");
    for (const nn_function *f = functions; f->name; f++) {
        lua_pushlightuserdata(L, (void *)f);
        lua_pushcclosure(L, call_function, 1);
        lua_setfield(L, -2, f->name);
    }
    add_crossentropy(L, "softmax_cross_entropy_with_logits", &cnn_op_categorical_crossentropy);
    add_crossentropy(L, "sparse_softmax_cross_entropy_with_logits", &cnn_op_sparse_categorical_crossentropy);
    add_crossentropy(L, "sigmoid_cross_entropy_with_logits", &cnn_op_binary_crossentropy);
    lua_pushcfunction(L, spread_args);
    lua_setfield(L, -2, "args"); /* prelude/nn.lua takes it away */
    lua_getfield(L, -1, "stop_gradient");
    lua_setfield(L, 1, "stop_gradient");
    return 0;
}
