# frozen_string_literal: true

module FlyteAuth
  VERSION = "0.1.0"
end
