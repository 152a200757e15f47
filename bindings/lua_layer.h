/* Layers and models on the Lua stack, for the binding files that deal with them. */
#ifndef LUA_LAYER_H
#define LUA_LAYER_H

#include "lua_cnn.h"
#include "model/model.h"

#define LCNN_LAYER "layer"
#define LCNN_MODEL "model"

/* The model at index; an error if it is something else, or closed. */
cnn_model *lcnn_check_model(lua_State *L, int index);
/* Pushes an empty LCNN_LAYER or LCNN_MODEL to be filled with a layer that it will own. */
cnn_layer **lcnn_new_layer(lua_State *L, const char *kind);
/* Retains the layer; a model becomes a model. */
void lcnn_push_layer(lua_State *L, cnn_layer *layer);
cnn_layer *lcnn_test_layer(lua_State *L, int index); /* NULL if there is something else */
cnn_layer *lcnn_check_layer(lua_State *L, int index);

/* What models have in common with other layers. */
int lcnn_layer_gc(lua_State *L);
int lcnn_layer_eq(lua_State *L);
int lcnn_layer_carry(lua_State *L);
int lcnn_layer_call(lua_State *L);
int lcnn_layer_newindex(lua_State *L);
bool lcnn_layer_field(lua_State *L, cnn_layer *layer, const char *name);
/* The error for a field that is not there; further: NULL-terminated names beside those that all layers have. */
int lcnn_unknown_field(lua_State *L, const cnn_layer *layer, const char *name, const char *const *further);
void lcnn_add_layer_methods(lua_State *L); /* into the table on the top */

/* Makes a tensor of what stands at index, if it is a table or number; nil stays. */
void lcnn_convert(lua_State *L, int index, const char *who, const char *name);
/* The tensors of a list, or the one at index, borrowed and anchored on the stack; returns how many. */
int lcnn_tensor_list(lua_State *L, int index, cnn_tensor **list, int most, const char *who);
/* Pushes an owner for so many tensors, to be filled by the core; all NULL at first. */
cnn_tensor **lcnn_new_list(lua_State *L, int count);
/* Pushes a table of the tensors of the owner on the top, which gives them up. */
int lcnn_push_list(lua_State *L, int count);

/* Pushes the spec of an optimizer, loss or the like. Takes over config; NULL raises out of memory. */
void lcnn_push_spec(lua_State *L, const cnn_class *class, cJSON *config);
/* Of the spec of an optimizer, loss or the like at 1, the argument called by the name at 2: pushes it; sets it to what is
 * at 3, for what is made of the spec from then on. An error for a name that is no argument's. */
void lcnn_spec_get(lua_State *L);
void lcnn_spec_set(lua_State *L);

/* Methods of models that tell of their wiring. */
extern const luaL_Reg lcnn_graph_methods[];
/* Methods of models that deal with files. */
extern const luaL_Reg lcnn_saving_methods[];

#endif
